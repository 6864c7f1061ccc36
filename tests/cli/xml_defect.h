// Whether text is XML, as far as this project writes XML.
#pragma once

#include <string>

namespace tinytl {

// What is wrong with it as XML; empty: nothing.
std::string xml_defect(const std::string& text);

}  // namespace tinytl
