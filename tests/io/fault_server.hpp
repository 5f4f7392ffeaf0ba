// SPDX-License-Identifier: Apache-2.0
#pragma once

// A server on the loopback that does what a judge's server must not do: it hangs up, drips, lies about lengths, floods.
// Raw sockets, a thread per connection, one request per connection.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef QL_TEST_OPENSSL
#include <openssl/ssl.h>
#endif

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace ql::test {

enum class fault {
  none,
  refused,    // nobody listens
  reset,      // hangs up in the middle of the body
  drip,       // a byte now and then, without end
  silence,    // reads, says nothing
  status,     // plan.status
  html,       // a page with status 200
  schema,     // JSON that is no chat completion
  truncated,  // half of the JSON, cleanly closed
  huge,       // a body of 1 GB
  redirect,   // to another server
  garbage,    // not HTTP
  headers,    // headers without end
};

// What one request is answered with.
struct plan {
  fault kind = fault::none;
  int status = 200;
  std::string headers;  // further lines, each with its \r\n
  std::string says = "They agree. [[YES]]";
  int delay_ms = 0;
};

// A chat completion as OpenAI-compatible servers send it. `says` must need no escapes.
inline std::string completion(const std::string& says, const std::string& finish = "stop") {
  return R"({"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": ")" +
         says + R"("}, "finish_reason": ")" + finish + R"("}], "usage": {"total_tokens": 3}})";
}

class fault_server {
 public:
  struct request {
    std::string head, body;
    int number = 0;  // of all requests, from 0
  };
  using handler = std::function<plan(const request&)>;

  // `ssl_context` is an SSL_CTX* or null.
  explicit fault_server(handler h, void* ssl_context = nullptr) : handler_(std::move(h)), ssl_(ssl_context) { open(); }
  ~fault_server() {
    close();
    ending_ = true;
    for (auto& t : threads_) t.join();
  }
  fault_server(const fault_server&) = delete;
  fault_server& operator=(const fault_server&) = delete;

  std::string url(const std::string& host = "127.0.0.1") const {
    return std::string(ssl_ != nullptr ? "https" : "http") + "://" + host + ":" + std::to_string(port_);
  }
  int requests() const { return requests_; }
  int most_at_once() const { return most_; }
  int at_once() const { return at_once_; }

  // The identity of connections to come.
  void use(void* ssl_context) { ssl_ = ssl_context; }
  // Only while nothing is on its way.
  void on_request(handler h) { handler_ = std::move(h); }

  // Nobody listens from now on; open() listens again at the same port.
  void close() {
    const std::lock_guard lock(mutex_);
    if (listener_ < 0) return;
    ::shutdown(listener_, SHUT_RDWR);
    stop_ = true;
    if (acceptor_.joinable() && acceptor_.get_id() != std::this_thread::get_id()) acceptor_.join();
    ::close(listener_);
    listener_ = -1;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    if (listener_ >= 0) return;
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons(port_);
    socklen_t size = sizeof a;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0 || ::listen(listener_, 128) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&a), &size) != 0)
      throw std::runtime_error("fault_server: no socket on the loopback");
    port_ = ntohs(a.sin_port);
    stop_ = false;
    acceptor_ = std::thread([this, fd = listener_] { accept(fd); });
  }

 private:
  struct wire {
    int fd;
    void* ssl = nullptr;
    bool send(std::string_view s) const {
      while (!s.empty()) {
        ssize_t n = -1;
#ifdef QL_TEST_OPENSSL
        if (ssl) {
          n = SSL_write(static_cast<SSL*>(ssl), s.data(), static_cast<int>(s.size()));
        } else
#endif
          n = ::send(fd, s.data(), s.size(), MSG_NOSIGNAL);
        if (n <= 0) return false;
        s.remove_prefix(static_cast<std::size_t>(n));
      }
      return true;
    }
    long receive(char* to, std::size_t size) const {
#ifdef QL_TEST_OPENSSL
      if (ssl) return SSL_read(static_cast<SSL*>(ssl), to, static_cast<int>(size));
#endif
      return ::recv(fd, to, size, 0);
    }
  };

  void accept(int listener) {
    while (!stop_) {
      pollfd p{listener, POLLIN, 0};
      if (::poll(&p, 1, 20) <= 0) continue;
      const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      const std::lock_guard lock(threads_mutex_);
      threads_.emplace_back([this, fd] {
        const int now = ++at_once_;
        int before = most_;
        while (before < now && !most_.compare_exchange_weak(before, now)) {
        }
        serve(fd);
        --at_once_;
      });
    }
  }

  void serve(int fd) {
    const timeval patience{5, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    wire w{fd};
#ifdef QL_TEST_OPENSSL
    SSL* ssl = nullptr;
    if (void* context = ssl_; context != nullptr) {
      ssl = SSL_new(static_cast<SSL_CTX*>(context));
      SSL_set_fd(ssl, fd);
      w.ssl = ssl;
    }
    if (ssl == nullptr || SSL_accept(ssl) == 1)
#endif
      talk(w);
#ifdef QL_TEST_OPENSSL
    if (ssl) SSL_free(ssl);
#endif
    ::close(fd);
  }

  void talk(const wire& w) {
    request r;
    char block[16384];
    std::size_t end = 0, length = 0;
    for (;;) {
      const long n = w.receive(block, sizeof block);
      if (n <= 0) return;
      r.body.append(block, static_cast<std::size_t>(n));
      if (end == 0) {
        const auto at = r.body.find("\r\n\r\n");
        if (at == std::string::npos) continue;
        end = at + 4;
        const auto field = r.body.find("Content-Length: ");
        length = field < at ? std::strtoull(r.body.c_str() + field + 16, nullptr, 10) : 0;
      }
      if (r.body.size() >= end + length) break;
    }
    r.head = r.body.substr(0, end);
    r.body.erase(0, end);
    r.number = requests_++;
    const plan p = handler_(r);
    pause(p.delay_ms);
    const std::string json = completion(p.says);
    const auto whole = [&](const std::string& body, const std::string& type) {
      return "HTTP/1.1 " + std::to_string(p.status) + " X\r\nContent-Type: " + type +
             "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n" + p.headers + "\r\n" +
             body;
    };
    const std::string start = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    switch (p.kind) {
      case fault::none: w.send(whole(json, "application/json")); break;
      case fault::refused:
      case fault::reset: {
        w.send(start + "Content-Length: " + std::to_string(json.size()) + "\r\n\r\n" + json.substr(0, json.size() / 2));
        const linger at_once{1, 0};
        ::setsockopt(w.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        break;
      }
      case fault::drip:
        w.send(start + "Content-Length: 1000000\r\n\r\n");
        while (!ending_ && w.send(" ")) pause(15);
        break;
      case fault::silence:
        while (!ending_ && alive(w.fd)) pause(10);
        break;
      case fault::status: w.send(whole(R"({"error": {"message": "verdict: [[YES]]"}})", "application/json")); break;
      case fault::html: w.send(whole("<html><body>Gateway [[YES]]</body></html>", "text/html")); break;
      case fault::schema:
        w.send(whole(R"({"choices": [{"text": "[[YES]]"}], "verdict": "[[YES]]"})", "application/json"));
        break;
      case fault::truncated: w.send(whole(json.substr(0, json.size() - 12), "application/json")); break;
      case fault::huge: {
        w.send(start + (r.number % 2 == 0 ? "Content-Length: 1073741824\r\n" : "") + "\r\n{\"choices\": \"");
        const std::string much(65536, 'x');
        for (int i = 0; i < 16384 && !ending_ && w.send(much); ++i) {
        }
        break;
      }
      case fault::redirect:
        w.send("HTTP/1.1 " + std::to_string(p.status) + " X\r\nContent-Length: 0\r\nConnection: close\r\n" + p.headers +
               "\r\n");
        break;
      case fault::garbage: w.send("220 mail.example ESMTP\r\n[[YES]]\r\n"); break;
      case fault::headers: {
        w.send(start);
        const std::string line = "X-Filler: " + std::string(1000, 'x') + "\r\n";
        for (int i = 0; i < 100000 && !ending_ && w.send(line); ++i) {
        }
        break;
      }
    }
  }
  static bool alive(int fd) {
    pollfd p{fd, POLLIN, 0};
    if (::poll(&p, 1, 0) <= 0) return true;
    char c;
    return ::recv(fd, &c, 1, MSG_PEEK) > 0;
  }
  void pause(int ms) const {
    for (; ms > 0 && !ending_; ms -= 5) std::this_thread::sleep_for(std::chrono::milliseconds(ms < 5 ? ms : 5));
  }

  handler handler_;
  std::atomic<void*> ssl_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::mutex mutex_, threads_mutex_;
  std::thread acceptor_;
  std::list<std::thread> threads_;
  std::atomic<bool> stop_{false}, ending_{false};
  std::atomic<int> requests_{0}, at_once_{0}, most_{0};
};

}  // namespace ql::test
