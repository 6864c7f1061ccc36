# tinytl_library(<folder> SOURCES <file>... [DEPS <folder>...] [LINK <target>...])
#
# One library per folder, all built with the same warnings. DEPS are folders of this project and are
# the whole of what the folder may include; LINK are private outside libraries.
function(tinytl_library folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS;LINK")
  list(TRANSFORM arg_DEPS PREPEND tinytl::)
  add_library(tinytl_${folder} STATIC ${arg_SOURCES})
  add_library(tinytl::${folder} ALIAS tinytl_${folder})
  target_include_directories(tinytl_${folder} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include>)
  target_link_libraries(tinytl_${folder} PUBLIC ${arg_DEPS} PRIVATE ${arg_LINK})
  # g++ 12 warns of its own std::string (GCC bug 105651).
  target_compile_options(tinytl_${folder} PRIVATE -Wall -Wextra -Wshadow
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>)
  set_target_properties(tinytl_${folder} PROPERTIES EXPORT_NAME ${folder})
  install(TARGETS tinytl_${folder} EXPORT tinytl ARCHIVE DESTINATION lib)
endfunction()
