// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/link.hpp"

namespace procpool::inline v0_1::cluster {

Link::~Link() = default;

}  // namespace procpool::inline v0_1::cluster
