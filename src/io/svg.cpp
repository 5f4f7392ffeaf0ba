// SPDX-License-Identifier: Apache-2.0
#include <ql/io/svg.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <limits>

namespace ql::io::svg {
namespace {

using points = std::vector<std::pair<double, double>>;

// A coordinate: one decimal, no trailing zero.
std::string at(double x) {
  char b[32];
  std::snprintf(b, sizeof b, "%.1f", x);
  std::string s = b;
  if (s.ends_with(".0")) s.resize(s.size() - 2);
  return s == "-0" ? "0" : s;
}

// One text of many; g++ 12 warns of sums of strings that begin with a literal (its bug 105651).
std::string cat(std::initializer_list<std::string_view> parts) {
  std::string s;
  for (const auto p : parts) s.append(p);
  return s;
}

std::string attribute(const char* name, double x) { return cat({" ", name, "=\"", at(x), "\""}); }

std::string text_at(double x, double y, const char* kind, std::string_view s) {
  return cat({"<text", attribute("x", x), attribute("y", y), " class=\"", kind, "\">", escaped(s), "</text>"});
}

// 1, 2, 2.5 or 5 times a power of ten, so that about `wanted` steps fill the range.
double nice_step(double range, int wanted) {
  const double raw = range / wanted, power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double m : {1.0, 2.0, 2.5, 5.0})
    if (raw <= m * power) return m * power;
  return 10 * power;
}

struct frame {
  double left = 46, right = 18, top = 10, bottom = 26;
  double width = 0, height = 0, x0 = 0, x1 = 1, y0 = 0, y1 = 1;

  double x(double v) const { return left + (v - x0) / (x1 - x0) * (width - left - right); }
  double y(double v) const { return height - bottom - (v - y0) / (y1 - y0) * (height - top - bottom); }
};

std::string opening(const std::string& title, const std::string& description, double width, double height) {
  return cat({"<svg viewBox=\"0 0 ", at(width), " ", at(height), "\" role=\"img\"><title>", escaped(title),
              "</title><desc>", escaped(description), "</desc>"});
}

std::string grid(const frame& f, const std::string& unit) {
  std::string s;
  const double scale = unit == "%" ? 100 : 1;
  const double step = nice_step((f.y1 - f.y0) * scale, 4) / scale;
  for (int i = 0; i <= 12; ++i) {
    const double v = std::ceil(f.y0 / step - 1e-9) * step + i * step;
    if (v > f.y1 + step * 1e-6) break;
    s += cat({"<line class=\"grid\"", attribute("x1", f.left), attribute("x2", f.width - f.right),
              attribute("y1", f.y(v)), attribute("y2", f.y(v)), "/>"});
    s += text_at(f.left - 6, f.y(v) + 4, "yt", cat({shown(std::fabs(v) < step * 1e-6 ? 0 : v * scale), unit}));
  }
  return s;
}

std::string path_of(const frame& f, const points& p) {
  std::string s;
  bool pen = false;
  for (const auto& [x, y] : p) {
    if (!std::isfinite(y)) {
      pen = false;
      continue;
    }
    s += cat({pen ? "L" : "M", at(f.x(x)), " ", at(f.y(std::clamp(y, f.y0, f.y1)))});
    pen = true;
  }
  return s;
}

}  // namespace

std::string escaped(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (const char c : s) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') out += c == '\x7f' ? ' ' : c;
    }
  }
  return out;
}

std::string shown(double x) {
  if (!std::isfinite(x)) return "-";
  char b[40];
  const double a = std::fabs(x);
  if (a >= 1e15 || (a > 0 && a < 1e-4)) {
    std::snprintf(b, sizeof b, "%.2g", x);
    return b;
  }
  const char* suffix = "";
  double v = x;
  for (const char* next : {"k", "M", "G", "T"}) {
    if (std::fabs(v) < (*suffix == '\0' ? 9999.5 : 999.5)) break;
    v /= 1000, suffix = next;
  }
  const double m = std::fabs(v);
  std::snprintf(b, sizeof b, "%.*f", m >= 100 ? 0 : m >= 10 ? 1 : m >= 1 ? 2 : m >= 0.1 ? 3 : 4, v);
  std::string s = b;
  if (s.find('.') != s.npos) {
    while (s.back() == '0') s.pop_back();
    if (s.back() == '.') s.pop_back();
  }
  return s + suffix;
}

points thinned(const points& p, std::size_t most) {
  if (p.size() <= most) return p;
  points out;
  for (std::size_t i = 0; i < most; ++i) {
    const std::size_t first = i * p.size() / most, last = (i + 1) * p.size() / most;
    double x = 0, y = 0;
    for (std::size_t k = first; k < last; ++k) x += p[k].first, y += p[k].second;
    const auto n = static_cast<double>(last - first);
    out.emplace_back(x / n, y / n);
  }
  out.front().first = p.front().first, out.back().first = p.back().first;
  return out;
}

points smoothed(const points& p, std::size_t window) {
  points out;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const std::size_t reach = std::min({window, i, p.size() - 1 - i});
    double y = 0;
    for (std::size_t k = i - reach; k <= i + reach; ++k) y += p[k].second;
    out.emplace_back(p[i].first, y / static_cast<double>(2 * reach + 1));
  }
  return out;
}

std::string line_chart(const chart& c) {
  frame f;
  f.width = c.width, f.height = c.height;
  if (!c.bands.empty()) f.top = 22;
  double x0 = std::numeric_limits<double>::infinity(), x1 = -x0, y0 = x0, y1 = -x0;
  std::vector<points> tops;
  for (std::size_t i = 0; i < c.lines.size(); ++i) {
    points p = c.lines[i].points;
    if (c.stacked && !tops.empty())
      for (std::size_t k = 0; k < p.size() && k < tops.back().size(); ++k) p[k].second += tops.back()[k].second;
    for (const auto& [x, y] : p) {
      x0 = std::min(x0, x), x1 = std::max(x1, x);
      if (std::isfinite(y)) y0 = std::min(y0, y), y1 = std::max(y1, y);
    }
    tops.push_back(std::move(p));
  }
  if (!(x0 <= x1)) x0 = 0, x1 = 1;
  if (!(y0 <= y1)) y0 = 0, y1 = 1;
  if (x0 == x1) x0 -= 0.5, x1 += 0.5;
  if (c.from_zero || c.stacked) y0 = std::min(y0, 0.0), y1 = std::max(y1, 0.0);
  if (c.to_one || c.stacked) y1 = std::max(y1, c.unit == "%" || c.to_one ? 1.0 : y1);
  if (y0 == y1) y1 = y0 + (y0 != 0 ? std::fabs(y0) * 0.1 : c.unit == "%" ? 0.01 : 1);
  if (!c.to_one && !(c.stacked && c.unit == "%")) y1 += (y1 - y0) * 0.06;
  f.x0 = x0, f.x1 = x1, f.y0 = y0, f.y1 = y1;

  std::string s = opening(c.title, c.description, f.width, f.height);
  for (std::size_t i = 0; i < c.bands.size(); ++i) {
    const auto& b = c.bands[i];
    const double from = f.x(std::clamp(b.from, x0, x1)), to = f.x(std::clamp(b.to, x0, x1));
    s += cat({"<rect class=\"", i % 2 == 0 ? "b0" : "b1", "\"", attribute("x", from), attribute("y", f.top),
              attribute("width", std::max(0.0, to - from)), attribute("height", f.height - f.top - f.bottom), "/>"});
    const auto room = static_cast<std::size_t>(std::max(0.0, (to - from) / 6.2));
    if (room >= 3) {
      std::string name = b.name;
      if (name.size() > room) name.resize(room - 1), name += "\xe2\x80\xa6";
      s += text_at((from + to) / 2, 15, "bt", name);
    }
  }
  s += grid(f, c.unit);
  const double step = std::max(1.0, nice_step(x1 - x0, 6));
  for (int i = 0; i <= 12; ++i) {
    const double v = (std::ceil(x0 / step) + i) * step;
    if (v <= x1) s += text_at(f.x(v), f.height - 9, "xt", shown(v));
  }
  for (std::size_t i = 0; i < c.lines.size(); ++i) {
    const auto& l = c.lines[i];
    const std::string colour = cat({"c", std::to_string(l.colour)});
    if (c.stacked) {
      std::string d = path_of(f, tops[i]);
      points below = i > 0 ? tops[i - 1] : points{{x0, 0.0}, {x1, 0.0}};
      std::reverse(below.begin(), below.end());
      std::string back = path_of(f, below);
      if (!back.empty()) back[0] = 'L';
      s += cat({"<path class=\"area ", colour, "\" d=\"", d, back, "Z\"/>"});
    } else if (l.points.size() == 1) {
      s += cat({"<circle class=\"dot ", colour, "\" r=\"3\"", attribute("cx", f.x(l.points[0].first)),
                attribute("cy", f.y(l.points[0].second)), "/>"});
    } else {
      s += cat({"<path class=\"line ", colour, l.faint ? " faint" : "", l.dashed ? " dash" : "", "\" d=\"",
                path_of(f, l.points), "\"/>"});
    }
  }
  return s + "</svg>";
}

std::string interval_chart(const std::string& title, const std::string& description,
                           const std::vector<std::string>& categories, const std::vector<interval_series>& all,
                           const std::string& axis) {
  frame f;
  f.width = 1100, f.height = 350, f.bottom = 42;
  f.x0 = -0.5, f.x1 = static_cast<double>(std::max<std::size_t>(categories.size(), 1)) - 0.5;
  f.y0 = 0, f.y1 = 1;
  std::string s = opening(title, description, f.width, f.height) + grid(f, "%");
  for (std::size_t i = 0; i < categories.size(); ++i)
    s += text_at(f.x(static_cast<double>(i)), f.height - 24, "xt", categories[i]);
  s += text_at((f.left + f.width - f.right) / 2, f.height - 6, "xt", axis);
  const double spread = all.size() > 1 ? 0.5 / static_cast<double>(all.size() - 1) : 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string colour = cat({"c", std::to_string(all[i].colour)});
    const double shift = all.size() > 1 ? -0.25 + spread * static_cast<double>(i) : 0;
    points line;
    std::string marks;
    for (const auto& p : all[i].points) {
      const double x = f.x(static_cast<double>(p.category) + shift);
      const double low = f.y(std::clamp(p.low, 0.0, 1.0)), high = f.y(std::clamp(p.high, 0.0, 1.0));
      const double y = f.y(std::clamp(p.value, 0.0, 1.0));
      line.emplace_back(static_cast<double>(p.category) + shift, p.value);
      marks += cat({"<path class=\"whisker ", colour, "\" d=\"M", at(x), " ", at(low), "V", at(high), "M", at(x - 4),
                    " ", at(low), "h8M", at(x - 4), " ", at(high), "h8\"/>"});
      marks += cat({"<circle class=\"dot ", colour, "\" r=\"4.5\"", attribute("cx", x), attribute("cy", y), "><title>",
                    escaped(all[i].name), ", ", escaped(categories[p.category]), ": ", shown(100 * p.value), "% [",
                    shown(100 * p.low), ", ", shown(100 * p.high), "]</title></circle>"});
    }
    s += cat({"<path class=\"line thin ", colour, "\" d=\"", path_of(f, line), "\"/>", marks});
  }
  return s + "</svg>";
}

std::string bar_chart(const std::string& title, const std::string& description, const std::vector<double>& whole,
                      const std::vector<double>& part, const std::string& axis) {
  frame f;
  f.width = 340, f.height = 190, f.bottom = 40;
  f.x0 = 0, f.x1 = static_cast<double>(std::max<std::size_t>(whole.size(), 1));
  f.y1 = 1;
  for (const double n : whole) f.y1 = std::max(f.y1, n * 1.05);
  std::string s = opening(title, description, f.width, f.height) + grid(f, "");
  const auto bar = [&](std::size_t i, double n, const char* kind) {
    if (!(n > 0)) return std::string();
    const double x = f.x(static_cast<double>(i) + 0.08), w = f.x(static_cast<double>(i) + 0.92) - x;
    return cat({"<rect class=\"", kind, "\"", attribute("x", x), attribute("y", f.y(n)), attribute("width", w),
                attribute("height", f.y(0) - f.y(n)), "/>"});
  };
  for (std::size_t i = 0; i < whole.size(); ++i) {
    s += bar(i, whole[i], "bar c7");
    if (i < part.size()) s += bar(i, part[i], "bar c1");
  }
  for (const double share : {0.0, 0.5, 1.0}) s += text_at(f.x(share * f.x1), f.height - 22, "xt", shown(share));
  return s + text_at((f.left + f.width - f.right) / 2, f.height - 5, "xt", axis) + "</svg>";
}

}  // namespace ql::io::svg
