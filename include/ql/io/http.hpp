// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/error.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// A client for JSON over HTTP/1.1 and TLS: many requests at once, every one of them bounded in time and size. What a
// server does is never an exception: it is a reply with a failure.
namespace ql::io::http {

struct limits {
  double connect_seconds = 10;
  double stall_seconds = 60;   // the longest silence once a reply has begun
  double total_seconds = 300;  // of one request, redirects included
  std::size_t body_bytes = std::size_t{8} << 20;
  std::size_t header_bytes = std::size_t{64} << 10;
};

struct client_config {
  int concurrency = 16;  // requests on their way; the others wait in line
  limits limit;
  std::string ca_file;            // PEM of the authorities to trust; empty: the system's
  int redirects = 3;              // followed: 307 and 308 to the same scheme, host and port alone
  bool environment_proxy = true;  // http_proxy, https_proxy, no_proxy; never for a loopback address
};

struct request {
  std::string url, body;
  std::string bearer;  // sent as "Authorization: Bearer ...", shown nowhere
};

enum class failure {
  none,
  bad_url,
  resolve,
  refused,
  connect,
  tls,
  reset,
  silent,
  stalled,
  too_large,
  redirect,
  protocol,
  cancelled,
};
// "connection refused", "no answer in time", ...
std::string_view name_of(failure f);

struct reply {
  std::uint64_t id = 0;
  failure error = failure::none;
  std::string why;  // of a failure; names the server as scheme://host:port, never a path, a key or what a server sent
  int status = 0;
  std::string body;
  std::string retry_after;  // the header, empty where there is none
  double seconds = 0;       // from its start on the wire to its end
};

// Is `url` usable, and where does it lead? Throws argument_error for what post() would refuse.
struct location {
  std::string origin;  // scheme://host:port
  bool https = false, loopback = false;
};
location locate(std::string_view url);

// Not for use by several threads at once, stop() excepted.
class client {
 public:
  explicit client(const client_config& c = {});
  ~client();
  client(client&&) noexcept;
  client& operator=(client&&) noexcept;

  // Queues a POST of JSON. Every id comes back from wait() exactly once.
  std::uint64_t post(request r);
  // The next reply, in order of arrival; nothing after `seconds`, or at once when nothing is outstanding and
  // `seconds` is 0. With nothing outstanding it sleeps for `seconds`, or until stop().
  std::optional<reply> wait(double seconds);
  // Ends one request or all: they come back as failure::cancelled.
  void cancel(std::uint64_t id);
  void cancel();
  // Requests that wait() has not returned yet.
  std::size_t outstanding() const;

  // From any thread: wait() returns and goes on returning at once; everything outstanding is cancelled. resume() ends
  // that state.
  void stop() noexcept;
  bool stopped() const noexcept;
  void resume() noexcept;

 private:
  struct state;
  state* s_ = nullptr;
};

}  // namespace ql::io::http
