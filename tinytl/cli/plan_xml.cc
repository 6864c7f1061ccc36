#include "tinytl/cli/plan_xml.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace tinytl::cli {
namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) >> 6) == 2; }

// Bytes of the UTF-8 character that begins at text[0]; 0 where none does.
size_t character_bytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return 1;
  const size_t bytes = lead >= 0xC2 && lead < 0xE0 ? 2
                       : lead >> 4 == 0xE          ? 3
                       : lead >> 3 == 0x1E         ? 4
                                                   : 0;
  if (bytes == 0 || bytes > text.size()) return 0;
  unsigned code = lead & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if (!continues(text[i])) return 0;
    code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3Fu);
  }
  const bool is_surrogate = code >= 0xD800 && code < 0xE000;
  const unsigned smallest = bytes == 2 ? 0x80 : bytes == 3 ? 0x800 : 0x10000;
  const bool is_allowed = code >= smallest && code < 0x110000 && (code & 0xFFFE) != 0xFFFE;
  return is_allowed && !is_surrogate ? bytes : 0;
}

}  // namespace

std::string xml_text(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t bytes = character_bytes(text);
    const char c = text[0];
    const bool is_control = (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7F;
    if (bytes == 0 || is_control) {
      result += '?';
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += text.substr(0, bytes);
    }
    text.remove_prefix(std::max<size_t>(1, bytes));
  }
  return result;
}

std::string pixels(double value) { return fmt::format("{}", std::round(value * 100) / 100 + 0.0); }

std::string shortened(std::string_view text, size_t width) {
  if (character_count(text) <= width) return std::string(text);
  const auto bytes_of = [&](size_t from, size_t characters) {  // where so many characters end
    while (characters > 0 && from < text.size()) {
      ++from;
      while (from < text.size() && continues(text[from])) ++from;
      --characters;
    }
    return from;
  };
  const size_t head = (width - 1) / 2, tail = width - 1 - head;
  return std::string(text.substr(0, bytes_of(0, head))) + "…" +
         std::string(text.substr(bytes_of(0, character_count(text) - tail)));
}

size_t character_count(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += !continues(c);
  return count;
}

}  // namespace tinytl::cli
