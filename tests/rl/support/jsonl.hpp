// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reads gzipped JSON Lines for tests: each line a flat object of strings, numbers, booleans, null and arrays of
// strings.

#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ql::test {

struct json_row {
  std::map<std::string, std::string> text;  // strings as they are; numbers, true, false and null as written
  std::map<std::string, std::vector<std::string>> list;
  bool has(const std::string& key) const { return text.count(key) != 0; }
  const std::string& operator[](const std::string& key) const { return text.at(key); }
};

class json_line {
 public:
  explicit json_line(std::string_view s) : s_(s) {}
  json_row row() {
    json_row r;
    expect('{');
    while (skip(), peek() != '}') {
      const std::string key = string();
      expect(':');
      skip();
      if (peek() == '"') {
        r.text[key] = string();
      } else if (peek() == '[') {
        ++i_;
        auto& l = r.list[key];
        while (skip(), peek() != ']') {
          l.push_back(peek() == '"' ? string() : word());
          skip();
          if (peek() == ',') ++i_;
        }
        ++i_;
      } else {
        r.text[key] = word();
      }
      skip();
      if (peek() == ',') ++i_;
    }
    return r;
  }

 private:
  char peek() const { return i_ < s_.size() ? s_[i_] : '\0'; }
  void skip() {
    while (peek() == ' ' || peek() == '\n') ++i_;
  }
  void expect(char c) {
    skip();
    if (peek() != c) throw std::runtime_error("bad JSON line");
    ++i_;
  }
  std::string word() {
    std::string w;
    while (i_ < s_.size() && std::string_view(",]} \n").find(peek()) == std::string_view::npos) w += s_[i_++];
    return w;
  }
  unsigned hex4() {
    const unsigned v = static_cast<unsigned>(std::stoul(std::string(s_.substr(i_, 4)), nullptr, 16));
    i_ += 4;
    return v;
  }
  std::string string() {
    expect('"');
    std::string out;
    while (peek() != '"') {
      if (i_ >= s_.size()) throw std::runtime_error("bad JSON string");
      if (peek() != '\\') {
        out += s_[i_++];
        continue;
      }
      const char c = s_[i_ + 1];
      i_ += 2;
      if (c != 'u') {
        out += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
        continue;
      }
      unsigned u = hex4();
      if (u >= 0xD800 && u < 0xDC00 && s_.substr(i_, 2) == "\\u") {
        i_ += 2;
        u = 0x10000 + ((u - 0xD800) << 10) + (hex4() - 0xDC00);
      }
      const auto put = [&](unsigned b) { out += static_cast<char>(static_cast<unsigned char>(b)); };
      if (u < 0x80) {
        put(u);
      } else if (u < 0x800) {
        put(0xC0 | (u >> 6)), put(0x80 | (u & 63));
      } else if (u < 0x10000) {
        put(0xE0 | (u >> 12)), put(0x80 | ((u >> 6) & 63)), put(0x80 | (u & 63));
      } else {
        put(0xF0 | (u >> 18)), put(0x80 | ((u >> 12) & 63)), put(0x80 | ((u >> 6) & 63)), put(0x80 | (u & 63));
      }
    }
    ++i_;
    return out;
  }
  std::string_view s_;
  std::size_t i_ = 0;
};

inline std::vector<json_row> read_jsonl_gz(const std::string& path) {
  const std::string command = "gzip -dc '" + path + "'";
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run gzip");
  std::string all;
  char buffer[65536];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) all.append(buffer, n);
  if (pclose(pipe) != 0) throw std::runtime_error("cannot read " + path);
  std::vector<json_row> rows;
  for (std::size_t at = 0; at < all.size();) {
    auto end = all.find('\n', at);
    if (end == std::string::npos) end = all.size();
    if (end > at) rows.push_back(json_line(std::string_view(all).substr(at, end - at)).row());
    at = end + 1;
  }
  return rows;
}

}  // namespace ql::test
