// SPDX-License-Identifier: Apache-2.0
#include <ql/io/http.hpp>

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

namespace ql::io::http {
namespace {

using clock = std::chrono::steady_clock;

double seconds_since(clock::time_point t) { return std::chrono::duration<double>(clock::now() - t).count(); }

// curl's global state lives as long as the program.
void start_curl() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK)
    throw backend_error(std::string("HTTP client: libcurl does not start: ") + curl_easy_strerror(code));
}

long milliseconds(double seconds) { return static_cast<long>(std::clamp(seconds, 0.001, 1e6) * 1000); }

struct url_parts {
  CURLU* u = curl_url();
  url_parts() = default;
  ~url_parts() { curl_url_cleanup(u); }
  url_parts(const url_parts&) = delete;
  url_parts& operator=(const url_parts&) = delete;
  std::string get(CURLUPart part, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(u, part, &text, flags) != CURLUE_OK) return {};
    std::string s(text);
    curl_free(text);
    return s;
  }
};

bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "[::1]" || host == "::1" || host.ends_with(".localhost")) return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

// The url's origin; an empty one, and `why`, where it is not usable.
location parse(std::string_view url, std::string& why) {
  start_curl();
  location l;
  const url_parts p;
  if (url.size() > 4096 || url.find('\0') != std::string_view::npos) {
    why = "longer than 4096 bytes, or with a NUL";
  } else if (curl_url_set(p.u, CURLUPART_URL, std::string(url).c_str(), 0) != CURLUE_OK) {
    why = "not a URL with a scheme and a host";
  } else if (const auto scheme = p.get(CURLUPART_SCHEME); scheme != "http" && scheme != "https") {
    why = "neither http nor https";
  } else if (!p.get(CURLUPART_USER).empty() || !p.get(CURLUPART_PASSWORD).empty()) {
    why = "a name or password inside the URL; give a key as env:NAME or file:PATH";
  } else {
    const auto host = p.get(CURLUPART_HOST);
    l.https = scheme == "https";
    l.loopback = is_loopback(host);
    l.origin = scheme + "://" + host + ":" + p.get(CURLUPART_PORT, CURLU_DEFAULT_PORT);
  }
  return l;
}

failure failure_of(CURLcode code, long os_error, bool anything) {
  switch (code) {
    case CURLE_URL_MALFORMAT: return failure::bad_url;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return failure::resolve;
    case CURLE_COULDNT_CONNECT: return os_error == 0 || os_error == ECONNREFUSED ? failure::refused : failure::connect;
    case CURLE_OPERATION_TIMEDOUT: return anything ? failure::stalled : failure::silent;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH: return failure::tls;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE: return failure::reset;
    case CURLE_FILESIZE_EXCEEDED: return failure::too_large;
    default: return failure::protocol;
  }
}

}  // namespace

std::string_view name_of(failure f) {
  switch (f) {
    case failure::none: return "none";
    case failure::bad_url: return "bad URL";
    case failure::resolve: return "host name not found";
    case failure::refused: return "connection refused";
    case failure::connect: return "no connection";
    case failure::tls: return "TLS not trusted";
    case failure::reset: return "connection lost";
    case failure::silent: return "no answer in time";
    case failure::stalled: return "answer stalled";
    case failure::too_large: return "answer too large";
    case failure::redirect: return "redirected elsewhere";
    case failure::protocol: return "not HTTP";
    case failure::cancelled: return "cancelled";
  }
  return "unknown";
}

location locate(std::string_view url) {
  std::string why;
  auto l = parse(url, why);
  if (l.origin.empty()) throw argument_error("URL: " + why + "; expected http://host:port/path or https://...");
  return l;
}

struct client::state {
  struct transfer {
    reply out;
    request in;
    location where;
    CURL* easy = nullptr;
    curl_slist* headers = nullptr;
    clock::time_point began{}, heard{};
    std::size_t header_bytes = 0;
    bool anything = false;  // of the reply has come
    int redirects = 0;
    const limits* limit = nullptr;
  };

  client_config config;
  CURLM* multi = nullptr;
  std::vector<CURL*> idle;
  std::deque<std::unique_ptr<transfer>> queue;
  std::vector<std::unique_ptr<transfer>> active;
  std::deque<reply> done;
  std::uint64_t next_id = 1;
  std::atomic<bool> stop{false};

  explicit state(const client_config& c) : config(c) {
    ql::detail::expects(c.concurrency >= 1, "HTTP client", "concurrency", "at least 1", c.concurrency);
    ql::detail::expects(c.limit.connect_seconds > 0 && c.limit.stall_seconds > 0 && c.limit.total_seconds > 0,
                        "HTTP client", "limit", "seconds above 0", "others");
    start_curl();
    multi = curl_multi_init();
    if (multi == nullptr) throw backend_error("HTTP client: libcurl has no memory");
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(c.concurrency));
  }
  ~state() {
    for (auto& t : active) release(*t, false);
    for (CURL* e : idle) curl_easy_cleanup(e);
    curl_multi_cleanup(multi);
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;

  static std::size_t on_header(char* bytes, std::size_t size, std::size_t n, void* user) {
    auto& t = *static_cast<transfer*>(user);
    n *= size;
    t.heard = clock::now();
    t.anything = true;
    t.header_bytes += n;
    if (t.header_bytes > t.limit->header_bytes) return 0;  // ends the transfer
    std::string_view line(bytes, n);
    if (line.starts_with("HTTP/")) t.out.retry_after.clear();
    constexpr std::string_view name = "retry-after:";
    const auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    if (line.size() > name.size() &&
        std::equal(name.begin(), name.end(), line.begin(), [&](char a, char b) { return a == low(b); })) {
      line.remove_prefix(name.size());
      while (!line.empty() && static_cast<unsigned char>(line.back()) <= ' ') line.remove_suffix(1);
      while (!line.empty() && static_cast<unsigned char>(line.front()) <= ' ') line.remove_prefix(1);
      t.out.retry_after = line.substr(0, 64);
    }
    return n;
  }
  static std::size_t on_body(char* bytes, std::size_t size, std::size_t n, void* user) {
    auto& t = *static_cast<transfer*>(user);
    n *= size;
    t.heard = clock::now();
    t.anything = true;
    if (n > t.limit->body_bytes - t.out.body.size()) {
      t.out.error = failure::too_large;
      return 0;
    }
    t.out.body.append(bytes, n);
    return n;
  }

  // Puts t on the wire. False, with its failure set, where that cannot be done.
  bool begin(transfer& t) {
    if (t.easy == nullptr) {
      if (idle.empty()) {
        t.easy = curl_easy_init();
      } else {
        t.easy = idle.back();
        idle.pop_back();
        curl_easy_reset(t.easy);
      }
      t.began = clock::now();
    }
    if (t.easy == nullptr) return false;
    t.heard = clock::now();
    t.anything = false;
    t.header_bytes = 0;
    t.out.body.clear();
    t.limit = &config.limit;
    bool ok = true;
    const auto set = [&](CURLoption o, auto v) { ok = curl_easy_setopt(t.easy, o, v) == CURLE_OK && ok; };
    set(CURLOPT_URL, t.in.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_SSL_VERIFYPEER, 1L);
    set(CURLOPT_SSL_VERIFYHOST, 2L);
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!config.ca_file.empty()) set(CURLOPT_CAINFO, config.ca_file.c_str());
    if (!config.environment_proxy || t.where.loopback) set(CURLOPT_PROXY, "");
    set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(config.limit.connect_seconds));
    set(CURLOPT_TIMEOUT_MS, milliseconds(config.limit.total_seconds - seconds_since(t.began)));
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDS, t.in.body.c_str());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(t.in.body.size()));
    set(CURLOPT_HEADERFUNCTION, &on_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&t));
    set(CURLOPT_WRITEFUNCTION, &on_body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&t));
    set(CURLOPT_PRIVATE, static_cast<void*>(&t));
    if (t.headers == nullptr) {
      const auto add = [&](const std::string& line) {
        curl_slist* longer = curl_slist_append(t.headers, line.c_str());
        ok = ok && longer != nullptr;
        if (longer != nullptr) t.headers = longer;
      };
      add("Content-Type: application/json");
      add("Accept: application/json");
      add("Expect:");  // no round trip before a long body
      if (!t.in.bearer.empty()) add("Authorization: Bearer " + t.in.bearer);
    }
    set(CURLOPT_HTTPHEADER, t.headers);
    return ok && curl_multi_add_handle(multi, t.easy) == CURLM_OK;
  }

  // Gives back what the transfer holds of curl's.
  void release(transfer& t, bool keep = true) {
    if (t.easy != nullptr) {
      curl_multi_remove_handle(multi, t.easy);
      if (keep) {
        idle.push_back(t.easy);
      } else {
        curl_easy_cleanup(t.easy);
      }
      t.easy = nullptr;
    }
    curl_slist_free_all(t.headers);
    t.headers = nullptr;
  }

  void finish(std::unique_ptr<transfer> t, failure f, const std::string& detail = {}) {
    release(*t);
    reply& r = t->out;
    r.error = f;
    r.seconds = t->began == clock::time_point{} ? 0 : seconds_since(t->began);
    if (f != failure::none) {
      r.why = (t->where.origin.empty() ? std::string("URL") : t->where.origin) + ": " + std::string(name_of(f));
      if (!detail.empty()) r.why += " (" + detail + ")";
      r.body.clear();
    }
    done.push_back(std::move(r));
  }

  std::unique_ptr<transfer> take(CURL* easy) {
    const auto at = std::find_if(active.begin(), active.end(), [&](const auto& t) { return t->easy == easy; });
    if (at == active.end()) return nullptr;
    auto t = std::move(*at);
    active.erase(at);
    return t;
  }

  // A redirect to the same origin is followed; true if t is on its way again.
  bool follow(transfer& t, std::string& detail) {
    if (t.out.status != 307 && t.out.status != 308) {
      detail = "HTTP " + std::to_string(t.out.status) + ": only 307 and 308 keep a POST";
      return false;
    }
    char* target = nullptr;
    curl_easy_getinfo(t.easy, CURLINFO_REDIRECT_URL, &target);
    const std::string url = target != nullptr ? target : "";
    std::string why;
    const location to = parse(url, why);
    if (to.origin != t.where.origin || to.origin.empty()) {
      detail = "to another server; not followed";
      return false;
    }
    if (++t.redirects > config.redirects) {
      detail = "more than " + std::to_string(config.redirects) + " times";
      return false;
    }
    curl_multi_remove_handle(multi, t.easy);
    t.in.url = url;
    detail = "it cannot be followed";
    return begin(t);
  }

  void ended(CURL* easy, CURLcode code) {
    auto t = take(easy);
    if (!t) return;
    long status = 0, os_error = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_error);
    t->out.status = static_cast<int>(status);
    if (code == CURLE_OK && status >= 300 && status < 400 && status != 304) {
      std::string detail;
      if (follow(*t, detail)) {
        active.push_back(std::move(t));
      } else {
        finish(std::move(t), failure::redirect, detail);
      }
    } else if (code == CURLE_OK) {
      finish(std::move(t), failure::none);
    } else if (t->out.error == failure::too_large) {
      finish(std::move(t), failure::too_large, "above " + std::to_string(config.limit.body_bytes) + " bytes");
    } else if (t->header_bytes > config.limit.header_bytes) {
      finish(std::move(t), failure::too_large, "header above " + std::to_string(config.limit.header_bytes) + " bytes");
    } else {
      const auto f = failure_of(code, os_error, t->anything);
      finish(std::move(t), f, curl_easy_strerror(code));
    }
  }

  // Starts what may start, lets curl work, collects what has ended.
  void turn() {
    while (!queue.empty() && active.size() < static_cast<std::size_t>(config.concurrency)) {
      auto t = std::move(queue.front());
      queue.pop_front();
      std::string why;
      t->where = parse(t->in.url, why);
      if (t->where.origin.empty()) {
        finish(std::move(t), failure::bad_url, why);
      } else if (begin(*t)) {
        active.push_back(std::move(t));
      } else {
        finish(std::move(t), failure::protocol, "libcurl takes no more requests");
      }
    }
    int running = 0;
    if (const auto code = curl_multi_perform(multi, &running); code != CURLM_OK) {
      while (!active.empty()) {
        auto t = std::move(active.back());
        active.pop_back();
        finish(std::move(t), failure::protocol, curl_multi_strerror(code));
      }
    }
    int left = 0;
    while (const CURLMsg* m = curl_multi_info_read(multi, &left)) {
      if (m->msg != CURLMSG_DONE) continue;
      ended(m->easy_handle, m->data.result);
    }
    for (std::size_t i = 0; i < active.size();) {
      const transfer& t = *active[i];
      if (t.anything && seconds_since(t.heard) > config.limit.stall_seconds) {
        finish(take(t.easy), failure::stalled,
               "silent for " + std::to_string(static_cast<long>(config.limit.stall_seconds)) + " s");
      } else {
        ++i;
      }
    }
  }

  void cancel_if(auto&& which) {
    for (std::size_t i = 0; i < active.size();) {
      if (which(active[i]->out.id)) {
        finish(take(active[i]->easy), failure::cancelled);
      } else {
        ++i;
      }
    }
    std::deque<std::unique_ptr<transfer>> kept;
    for (auto& t : queue) {
      if (which(t->out.id)) {
        finish(std::move(t), failure::cancelled);
      } else {
        kept.push_back(std::move(t));
      }
    }
    queue.swap(kept);
  }
};

client::client(const client_config& c) : s_(new state(c)) {}
client::~client() { delete s_; }
client::client(client&& o) noexcept : s_(std::exchange(o.s_, nullptr)) {}
client& client::operator=(client&& o) noexcept {
  std::swap(s_, o.s_);
  return *this;
}

std::uint64_t client::post(request r) {
  auto t = std::make_unique<state::transfer>();
  t->out.id = s_->next_id++;
  t->in = std::move(r);
  s_->queue.push_back(std::move(t));
  return s_->next_id - 1;
}

std::optional<reply> client::wait(double seconds) {
  const auto began = clock::now();
  for (;;) {
    if (stopped()) s_->cancel_if([](std::uint64_t) { return true; });
    if (s_->done.empty()) s_->turn();
    if (!s_->done.empty()) {
      reply r = std::move(s_->done.front());
      s_->done.pop_front();
      return r;
    }
    double left = seconds - seconds_since(began);
    if (stopped() || !(left > 0)) return std::nullopt;
    for (const auto& t : s_->active)
      if (t->anything) left = std::min(left, s_->config.limit.stall_seconds - seconds_since(t->heard) + 0.001);
    const int ms = static_cast<int>(std::clamp(std::ceil(left * 1000), 1.0, 1e6));
    curl_multi_poll(s_->multi, nullptr, 0, ms, nullptr);
  }
}

void client::cancel(std::uint64_t id) {
  s_->cancel_if([&](std::uint64_t x) { return x == id; });
}
void client::cancel() {
  s_->cancel_if([](std::uint64_t) { return true; });
}
std::size_t client::outstanding() const { return s_->queue.size() + s_->active.size() + s_->done.size(); }

void client::stop() noexcept {
  s_->stop.store(true);
  curl_multi_wakeup(s_->multi);
}
bool client::stopped() const noexcept { return s_->stop.load(); }
void client::resume() noexcept { s_->stop.store(false); }

}  // namespace ql::io::http
