# Headers, libraries and package files: find_package(tinytl) and link tinytl::train, tinytl::onnx.
include(CMakePackageConfigHelpers)

foreach(folder IN ITEMS engine autodiff optim sparse_update tinytl)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION include
          FILES_MATCHING PATTERN "*.h" PATTERN "simd" EXCLUDE PATTERN "cli" EXCLUDE)
endforeach()
install(EXPORT tinytl NAMESPACE tinytl:: DESTINATION lib/cmake/tinytl)
configure_package_config_file(cmake/tinytl-config.cmake.in tinytl-config.cmake
                              INSTALL_DESTINATION lib/cmake/tinytl)
write_basic_package_version_file(tinytl-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tinytl-config.cmake
              ${PROJECT_BINARY_DIR}/tinytl-config-version.cmake
        DESTINATION lib/cmake/tinytl)
