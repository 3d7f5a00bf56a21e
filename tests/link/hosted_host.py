# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# An interpreter that opens the library which its argument names, and calls it.

import ctypes
import sys

library = ctypes.CDLL(sys.argv[1])
spawned = library.hosted_spawn(10)
forked = library.hosted_fork(10)
print(spawned, forked)
sys.exit(0 if (spawned, forked) == (294, 1294) else 1)
