# SPDX-License-Identifier: MIT
# The flags that distributions build their packages with: an error in the programs should end them
# rather than serve somebody.  Flags that this compiler, or this CPU, does not have are left out.

option(MFD_HARDENING "Build as distributions do: PIE, RELRO and immediate binding, stack protector, fortified libc calls" ON)
if(NOT MFD_HARDENING)
	return()
endif()

include(CheckCCompilerFlag)
foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection)
	string(MAKE_C_IDENTIFIER "MFD_HAVE${flag}" have)
	# With -Werror, because clang only warns of what it does not know for a CPU.
	set(CMAKE_REQUIRED_FLAGS -Werror)
	check_c_compiler_flag(${flag} ${have})
	unset(CMAKE_REQUIRED_FLAGS)
	if(${have})
		add_compile_options(${flag})
	endif()
endforeach()

# Everything ends in programs: -fPIE everywhere, because -fPIC would keep the compiler from inlining
# what could be interposed.
add_compile_options(-fPIE)
string(APPEND CMAKE_EXE_LINKER_FLAGS " -pie -Wl,-z,relro,-z,now,-z,noexecstack")

# The sanitizers look at these calls themselves; without optimization there is nothing to look at.
if(NOT MFD_SANITIZE)
	add_compile_options("$<$<NOT:$<CONFIG:Debug>>:SHELL:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>")
endif()
