# SPDX-License-Identifier: MIT
# The libraries that mfd is built with, each with a message that says what to install.

find_package(PkgConfig)
if(NOT PKG_CONFIG_FOUND)
	message(FATAL_ERROR "pkg-config is missing: install pkg-config (Debian: apt-get install pkg-config)")
endif()

find_package(ZLIB)
if(NOT ZLIB_FOUND)
	message(FATAL_ERROR "zlib is missing: install its development files (Debian: apt-get install zlib1g-dev)")
endif()

# Faster ways to code and decode zlib streams; without them zlib itself does it.
# mfd_optional(NAME MODULE>=VERSION PACKAGE): MFD_WITH_<NAME> is AUTO (where it is found), ON (or
# stop) or OFF; sets MFD_HAVE_<NAME>.
function(mfd_optional name module package)
	set(MFD_WITH_${name} AUTO CACHE STRING "Use ${module} for zlib streams: AUTO, ON or OFF")
	set_property(CACHE MFD_WITH_${name} PROPERTY STRINGS AUTO ON OFF)
	set(wanted "${MFD_WITH_${name}}")
	set(MFD_HAVE_${name} FALSE PARENT_SCOPE)
	if(wanted STREQUAL "AUTO")
		pkg_check_modules(${name} QUIET IMPORTED_TARGET GLOBAL ${module})
	elseif(wanted)
		pkg_check_modules(${name} IMPORTED_TARGET GLOBAL ${module})
		if(NOT ${name}_FOUND)
			message(FATAL_ERROR "MFD_WITH_${name} is ${wanted}, but ${module} is missing: install its development files "
				"(Debian: apt-get install ${package}), or configure with -DMFD_WITH_${name}=OFF or AUTO")
		endif()
	else()
		message(STATUS "zlib streams: ${module} is switched off")
		return()
	endif()
	if(${name}_FOUND)
		message(STATUS "zlib streams: ${${name}_MODULE_NAME} ${${name}_VERSION}")
		set(MFD_HAVE_${name} TRUE PARENT_SCOPE)
	else()
		message(STATUS "zlib streams: no ${module} (Debian: ${package}); it would make the method zlib faster")
	endif()
endfunction()
mfd_optional(ISAL libisal>=2.30 libisal-dev)
mfd_optional(LIBDEFLATE libdeflate>=1.14 libdeflate-dev)

pkg_check_modules(ZSTD IMPORTED_TARGET libzstd>=1.4.0)
if(NOT ZSTD_FOUND)
	message(FATAL_ERROR "libzstd 1.4 or newer is missing: install its development files (Debian: apt-get install libzstd-dev)")
endif()

pkg_check_modules(XXHASH IMPORTED_TARGET libxxhash>=0.8.0)
if(NOT XXHASH_FOUND)
	message(FATAL_ERROR "libxxhash 0.8 or newer is missing: install its development files (Debian: apt-get install libxxhash-dev)")
endif()

# Run-time dispatch to AVX2/AVX-512 is an x86 extra that not every build of the library exports.
include(CheckSymbolExists)
set(CMAKE_REQUIRED_LIBRARIES PkgConfig::XXHASH)
check_symbol_exists(XXH3_64bits_dispatch "xxhash.h;xxh_x86dispatch.h" MFD_HAVE_XXH_DISPATCH)
unset(CMAKE_REQUIRED_LIBRARIES)

# argp is part of glibc.  Elsewhere (musl, macOS, BSD) argp-standalone provides it: set
# CMAKE_PREFIX_PATH to where it is installed.
add_library(MfdArgp INTERFACE)
check_symbol_exists(argp_parse argp.h MFD_ARGP_IN_LIBC)
if(NOT MFD_ARGP_IN_LIBC)
	find_path(ARGP_INCLUDE_DIR argp.h)
	find_library(ARGP_LIBRARY argp)
	if(NOT ARGP_INCLUDE_DIR OR NOT ARGP_LIBRARY)
		message(FATAL_ERROR "argp is missing: this libc has none, so install argp-standalone "
			"(Alpine: apk add argp-standalone; macOS: brew install argp-standalone) "
			"or point CMAKE_PREFIX_PATH to it")
	endif()
	message(STATUS "argp: ${ARGP_LIBRARY} (argp-standalone)")
	target_include_directories(MfdArgp INTERFACE ${ARGP_INCLUDE_DIR})
	target_link_libraries(MfdArgp INTERFACE ${ARGP_LIBRARY})
endif()
