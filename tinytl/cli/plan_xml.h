// The small things that SVG and HTML share: escaped text, short numbers, names made to fit.
#pragma once

#include <string>
#include <string_view>

namespace tinytl::cli {

// Text for the inside of an element or of a quoted attribute, whatever bytes a name holds: & < > "
// become entities; control characters (newlines stay) and broken UTF-8 become '?'.
std::string xml_text(std::string_view text);

// At most two decimals, none where they are zero: coordinates in pixels.
std::string pixels(double value);

// At most `width` characters (at least 1): the middle, which tells least, gives way to "…".
std::string shortened(std::string_view text, size_t width);

// Characters of UTF-8 text.
size_t character_count(std::string_view text);

}  // namespace tinytl::cli
