#include "tests/cli/xml_defect.h"

#include <algorithm>
#include <cctype>
#include <regex>
#include <vector>

namespace tinytl {
namespace {

// The name in "<name a="..." b="...">" or "<name/>"; empty where it is no tag. By hand, because
// std::regex recurses for every character of an attribute.
std::string tag_name(const std::string& tag) {
  const auto is_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  size_t at = 1;
  while (at < tag.size() && is_name(tag[at])) ++at;
  const std::string name = tag.substr(1, at - 1);
  while (at < tag.size() && tag[at] == ' ') {
    const size_t equals = tag.find("=\"", at);
    const size_t end = equals == std::string::npos ? equals : tag.find('"', equals + 2);
    if (end == std::string::npos || equals == at + 1) return "";
    for (size_t i = at + 1; i < equals; ++i) {
      if (!is_name(tag[i]) && tag[i] != ':' && tag[i] != '-') return "";
    }
    at = end + 1;
  }
  const std::string rest = tag.substr(std::min(at, tag.size()));
  return rest == ">" || rest == "/>" ? name : "";
}

}  // namespace

std::string xml_defect(const std::string& text) {
  static const std::regex reference("&(amp|lt|gt|quot);");
  std::vector<std::string> inside;
  for (size_t at = 0; at < text.size();) {
    const std::string near = " at: " + text.substr(at, 40);
    std::smatch match;
    const auto begin = text.begin() + static_cast<std::ptrdiff_t>(at);
    const auto flags = std::regex_constants::match_continuous;
    if (text.compare(at, 2, "</") == 0) {
      const std::string name = text.substr(at + 2, text.find('>', at) - at - 2);
      if (inside.empty() || inside.back() != name) return "closes " + name + near;
      inside.pop_back();
      at += name.size() + 3;
    } else if (text[at] == '<') {
      const std::string tag = text.substr(at, text.find('>', at) - at + 1);
      const std::string name = tag_name(tag);
      if (name.empty()) return "no tag" + near;
      if (tag[tag.size() - 2] != '/') inside.push_back(name);
      at += tag.size();
    } else if (text[at] == '&') {
      if (!std::regex_search(begin, text.end(), match, reference, flags)) return "bare &" + near;
      at += static_cast<size_t>(match.length());
    } else if (static_cast<unsigned char>(text[at]) < 0x20 && text[at] != '\n') {
      return "control character" + near;
    } else {
      ++at;
    }
  }
  return inside.empty() ? "" : "never closes " + inside.back();
}

}  // namespace tinytl
