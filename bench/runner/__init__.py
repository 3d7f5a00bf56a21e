# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

