# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# Run by cpack behind its work. It puts right what cpack has no word for: packages of several architectures may stand
# beside each other, ldconfig is called by a trigger and not by scripts of the package, and each has a summary of its
# own.

foreach(package IN LISTS CPACK_PACKAGE_FILES)
  set(folder "${package}.unpacked")
  file(REMOVE_RECURSE "${folder}")
  execute_process(COMMAND dpkg-deb --raw-extract "${package}" "${folder}" COMMAND_ERROR_IS_FATAL ANY)
  file(REMOVE "${folder}/DEBIAN/postinst" "${folder}/DEBIAN/postrm")
  file(READ "${folder}/DEBIAN/control" control)
  # A program serves every architecture. Its files have no folder of one.
  set(beside same)
  if(package MATCHES "-tools_[^/]*$")
    set(beside foreign)
  endif()
  if(NOT control MATCHES "\nMulti-Arch:")
    string(REGEX REPLACE "\nMaintainer:" "\nMulti-Arch: ${beside}\nMaintainer:" control "${control}")
  endif()
  if(package MATCHES "-tools_[^/]*$")
    string(REGEX REPLACE "(\nDescription: [^\n]*)" "\\1 (tools)" control "${control}")
  elseif(package MATCHES "-dev_[^/]*$")
    string(REGEX REPLACE "(\nDescription: [^\n]*)" "\\1 (development files)" control "${control}")
  endif()
  file(WRITE "${folder}/DEBIAN/control" "${control}")
  execute_process(COMMAND dpkg-deb --root-owner-group -Zxz --build "${folder}" "${package}"
    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  file(REMOVE_RECURSE "${folder}")
endforeach()
