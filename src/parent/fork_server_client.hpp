#pragma once

// Forkserver: the dispatcher's side of the template process of Start::forkserver. It makes the process, gives
// it orders and hands out what it answers, in the order of the orders. The dispatcher's thread only.
//
// Nothing here waits for the template, but for the moment in which it is ended: one that is stopped is found
// out by deadline(). The template may die at any point: orders that it has not answered are lost, and
// gone() says so. Its workers live on; they have other parents then, and how they end is told only by new
// kernels. The death of this process ends the template, see template.hpp.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "os/fd.hpp"
#include "os/spawn.hpp"
#include "protocol/fork_messages.hpp"
#include "protocol/handshake.hpp"

namespace procpool::inline v0::parent {

class ForkServerClient {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Making {
    int image = -1;
    int program = -1;  // pidfd of this process
    std::string pool;
    std::vector<std::string> environment;
    bool silent = false;
    std::chrono::milliseconds start_timeout;
    int blocked = 0;  // as in os::SpawnRequest; its workers begin so too
  };
  // Throws std::system_error when there is no process to be had.
  explicit ForkServerClient(Making const& making);
  ForkServerClient(ForkServerClient const&) = delete;
  ForkServerClient& operator=(ForkServerClient const&) = delete;
  // Ends it: nobody of it is left, unless the kernel does not let it go.
  ~ForkServerClient();

  pid_t pid() const noexcept { return process_.pid; }
  // To be watched; read means next(), and the end of the other means gone().
  int socket() const noexcept { return socket_.get(); }
  int pidfd() const noexcept { return process_.pidfd.get(); }

  enum class Order {
    given,
    later,  // it cannot be given now: it has not read enough, or the system lacks something for a moment
    nobody,  // to be given to
  };
  // Before its first word too.
  Order fork(std::uint64_t request_id, std::string title, std::span<int const> fds);
  Order reap(std::uint64_t request_id);
  // More orders than it should have at a time; an answer comes before that changes.
  bool busy() const noexcept;

  struct Forked {
    protocol::ForkReport report;
    os::UniqueFd pidfd;
  };
  using Word = std::variant<protocol::Ready, protocol::Refusal, Forked>;
  // Nothing: it has said nothing more.
  std::optional<Word> next();
  // It is dead, or what it said was none of the above.
  bool gone();
  bool greeted() const noexcept { return greeted_; }
  // It was made for the user and group that this process acts for now. (Else its workers would have rights that this
  // process has given up.)
  bool has_our_rights() const noexcept;
  // It has forked a worker.
  bool useful() const noexcept { return useful_; }
  // When it is to be given up, because it should have said something by then.
  std::optional<TimePoint> deadline() const noexcept;

  // Kills it and says how it has ended.
  os::Exit end();

 private:
  Order order(protocol::ForkOrder const& order, std::span<int const> fds);

  uid_t const user_;
  gid_t const group_;
  os::UniqueFd socket_;
  os::Child process_;
  std::chrono::milliseconds const start_timeout_;
  TimePoint waiting_since_;
  std::size_t unanswered_ = 0;
  bool greeted_ = false;
  bool useful_ = false;
  bool gone_ = false;
};

}  // namespace procpool::inline v0::parent
