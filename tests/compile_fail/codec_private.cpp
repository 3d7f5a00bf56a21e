// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: it has private members
#include <procpool/detail/codec/codec.hpp>
class Account {
  int balance = 0;
};
struct Bank {
  Account account;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Bank{});
}
