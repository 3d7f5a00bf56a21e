// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/element_scope.hpp"

namespace procpool::inline v0_1 {

constinit thread_local unsigned ElementScope::depth_ = 0;
constinit std::atomic<ElementScope::OnEnd> ElementScope::on_end_{nullptr};

}  // namespace procpool::inline v0_1
