// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The handler uses system calls and its own memory only, except for libgcc's unwinder. That reads
// the tables of the modules. It is called once in advance, so that it has nothing left to look up
// or allocate, and takes no lock with a C library of version 2.35 or newer.
//
// The handler's own memory may be damaged too. The frame of the signal therefore tells whether the
// handler itself has crashed, before any variable is read. In that case the handlers are first
// taken away, by registers alone. Another fault then ends the process.
#include "worker/crash_handler.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "channel/crash_words.hpp"
#include "os/raw_call.hpp"
#include "worker/crash_maps.hpp"

namespace procpool::inline v0_1::worker {
namespace {

using channel::CrashWords;

constexpr std::array reported{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};
// The same as the kernel's number, so that no constant is read from memory.
constexpr std::uint64_t set_of_reported = [] {
  std::uint64_t set = 0;
  for (int const signal : reported) set |= std::uint64_t{1} << (signal - 1);
  return set;
}();
constexpr std::size_t alternate_stack = 128 * 1024;
// The program's own stack is used if it is no smaller.
constexpr std::size_t min_alternate_stack = 32 * 1024;
constexpr time_t patience_s = 2;
// The size of the kernel's set of signals.
constexpr long set_bytes = 8;

enum class Phase : std::uint8_t { none, unwinding, naming, done };

CrashWords* words = nullptr;
bool prepared = false;             // by this process, or by the process that forked it
pid_t owner = 0;                   // this process; not inherited by forks
std::atomic<pid_t> reporter{0};    // the thread that crashed first
std::atomic<int> first_signal{0};  // its signal
std::atomic<Phase> phase{Phase::none};
std::array<std::uintptr_t, channel::max_crash_frames> addresses;
std::atomic<std::size_t> address_count{0};

// Those of the thread that crashed, at that instruction.
struct Registers {
  std::uintptr_t pc = 0;
  std::uintptr_t sp = 0;
  std::uintptr_t link = 0;  // where a call returns to, on machines that keep that in a register
} registers;

Registers registers_of([[maybe_unused]] void const* context) noexcept {
#if defined(__x86_64__)
  auto const& machine = static_cast<ucontext_t const*>(context)->uc_mcontext;
  return {static_cast<std::uintptr_t>(machine.gregs[REG_RIP]),
          static_cast<std::uintptr_t>(machine.gregs[REG_RSP]), 0};
#elif defined(__aarch64__)
  auto const& machine = static_cast<ucontext_t const*>(context)->uc_mcontext;
  return {machine.pc, machine.sp, machine.regs[30]};
#else
  return {};
#endif
}

pid_t this_thread() noexcept { return static_cast<pid_t>(::syscall(SYS_gettid)); }

void set(channel::CrashWord& word, std::uint64_t value) noexcept {
  // Relaxed: the parent reads it once this process is dead.
  word.store(value, std::memory_order_relaxed);
}

void note(std::uintptr_t address) noexcept {
  std::size_t const at = address_count.load(std::memory_order_relaxed);
  if (at == addresses.size()) return;
  addresses[at] = address;
  address_count.store(at + 1, std::memory_order_relaxed);
}

// ---- unwinding

struct Walk {
  int below = 0;         // frames of the handler itself
  bool crashed = false;  // the walk has reached the frame that crashed
};
constexpr int max_below = 32;

// The frames up to the interrupted one are the handler's own. The interrupted frame is the first
// whose address is that of an instruction not yet executed.
_Unwind_Reason_Code step(_Unwind_Context* frame, void* data) {
  auto& walk = *static_cast<Walk*>(data);
  int interrupted = 0;
  auto const address = static_cast<std::uintptr_t>(_Unwind_GetIPInfo(frame, &interrupted));
  walk.crashed = walk.crashed || interrupted != 0;
  if (!walk.crashed) return ++walk.below < max_below ? _URC_NO_REASON : _URC_END_OF_STACK;
  if (address == 0 && interrupted == 0) return _URC_END_OF_STACK;
  // The return address of a call may already lie in the next function.
  note(interrupted != 0 ? address : address - 1);
  bool const full = address_count.load(std::memory_order_relaxed) == addresses.size();
  return full ? _URC_END_OF_STACK : _URC_NO_REASON;
}

_Unwind_Reason_Code no_step(_Unwind_Context* frame, void*) {
  int interrupted = 0;
  return _Unwind_GetIPInfo(frame, &interrupted) == 0 ? _URC_END_OF_STACK : _URC_NO_REASON;
}

// ---- the time limit of the report

class Patience {
 public:
  Patience() noexcept {
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGKILL;
    running_ = ::syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer_) == 0;
    itimerspec const time{{}, {patience_s, 0}};
    if (running_) ::syscall(SYS_timer_settime, timer_, 0, &time, nullptr);
  }
  // A core dump has no time limit.
  ~Patience() {
    if (running_) ::syscall(SYS_timer_delete, timer_);
  }
  Patience(Patience const&) = delete;
  Patience& operator=(Patience const&) = delete;

 private:
  int timer_ = 0;  // the kernel's number for it
  bool running_ = false;
};

// ---- the report

// Reads the word at an address that may not be mapped.
bool peek(std::uintptr_t address, std::uintptr_t& word) noexcept {
  iovec const into{&word, sizeof word};
  // NOLINTNEXTLINE(performance-no-int-to-ptr): it may be any
  iovec const from{reinterpret_cast<void*>(address), sizeof word};
  return ::process_vm_readv(owner, &into, 1, &from, 1, 0) == sizeof word;
}

// A push accesses the memory right below the stack pointer. A large frame moves the stack pointer
// itself to unmapped memory.
bool overflowed(std::uintptr_t address) noexcept {
  constexpr std::uintptr_t push = 64 * 1024;
  constexpr std::uintptr_t frame = 16 * 1024 * 1024;
  if (address < registers.sp) return registers.sp - address <= push;
  std::uintptr_t word = 0;
  return address - registers.sp <= frame && !peek(registers.sp, word);
}

void name_frames() noexcept {
  if (address_count.load(std::memory_order_relaxed) == 0 && registers.sp != 0) note(registers.pc);
  std::size_t count = address_count.load(std::memory_order_relaxed);
  bool const first_is_code = name_in_modules(*words, {addresses.data(), count});
  // An address without code cannot be unwound, but its caller is known: it has just made the call.
  if (count != 1 || first_is_code) return;
  std::uintptr_t caller = registers.link;
  if (caller == 0 && !peek(registers.sp, caller)) return;
  if (caller == 0) return;
  note(caller - 1);
  name_in_modules(*words, {addresses.data(), address_count.load(std::memory_order_relaxed)});
}

void report(int signal, siginfo_t const& info, void const* context) noexcept {
  Patience const patience;
  registers = registers_of(context);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-union-access): what it holds depends on the signal
  auto const address = reinterpret_cast<std::uintptr_t>(info.si_addr);
  set(words->code, static_cast<std::uint32_t>(info.si_code));
  set(words->address, address);
  set(words->overflow, signal == SIGSEGV && info.si_code > 0 && overflowed(address) ? 1 : 0);
  set(words->other_thread, this_thread() == owner ? 0 : 1);
  set(words->signal, static_cast<std::uint64_t>(signal));
  set(words->peak, peak_of_this_process());
  phase.store(Phase::unwinding, std::memory_order_relaxed);
  // Without tables for an address, the unwinder reads the instruction there. If there is none, it
  // would crash.
  std::uintptr_t instruction = 0;
  bool const nowhere = registers.sp != 0 && !peek(registers.pc, instruction) && errno == EFAULT;
  Walk walk;
  if (!nowhere) _Unwind_Backtrace(step, &walk);
  phase.store(Phase::naming, std::memory_order_relaxed);
  name_frames();
  phase.store(Phase::done, std::memory_order_relaxed);
}

// Raises the signal again without a handler. It is blocked until the handler returns. It then
// arrives with its original siginfo at the very instruction, so that a core dump shows that.
void let_it_do_its_work(int signal, siginfo_t* info) noexcept {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  ::pthread_sigmask(SIG_BLOCK, &one, nullptr);
  struct sigaction usual{};
  usual.sa_handler = SIG_DFL;
  ::sigaction(signal, &usual, nullptr);
  pid_t const process = ::getpid();
  pid_t const thread = this_thread();
  if (info == nullptr || ::syscall(SYS_rt_tgsigqueueinfo, process, thread, signal, info) != 0) {
    ::syscall(SYS_tgkill, process, thread, signal);
  }
}

[[noreturn]] void end_by(int signal) noexcept {
  let_it_do_its_work(signal, nullptr);
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, signal);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  ::_exit(128 + signal);  // not reached
}

// ---- a crash of the handler

// True if the signal has interrupted code on the signal stack, or below its end. The second case
// would begin at the top of that stack again, for ever.
bool is_in_handler(void const* context) noexcept {
  auto const& stack = static_cast<ucontext_t const*>(context)->uc_stack;
  if ((stack.ss_flags & SS_DISABLE) != 0 || stack.ss_size == 0) return false;
  constexpr std::uintptr_t beyond = 64 * 1024;
  auto const lowest = reinterpret_cast<std::uintptr_t>(stack.ss_sp);
  std::uintptr_t const sp = registers_of(context).sp;
  return sp >= lowest - std::min(beyond, lowest) && sp < lowest + stack.ss_size;
}

// From here on each of the signals ends the process.
void take_handlers_away() noexcept {
  struct {  // as the kernel has it
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    std::uint64_t mask;
  } const usual{};
  for (int signal = 1; signal < 32; ++signal) {
    if ((set_of_reported >> (signal - 1) & 1) == 0) continue;
    os::raw_call(SYS_rt_sigaction, signal, reinterpret_cast<long>(&usual), 0, set_bytes);
  }
  std::uint64_t const ours = set_of_reported;
  os::raw_call(SYS_rt_sigprocmask, SIG_UNBLOCK, reinterpret_cast<long>(&ours), 0, set_bytes);
}

// By the signal, or else by other means.
[[noreturn]] void end_raw(int signal) noexcept {
  take_handlers_away();
  long const process = os::raw_call(SYS_getpid);
  long const thread = os::raw_call(SYS_gettid);
  os::raw_call(SYS_tgkill, process, thread, signal);
  os::raw_call(SYS_tgkill, process, thread, SIGKILL);
  for (;;) os::raw_call(SYS_exit_group, 128 + signal);
}

// Another thread reports and ends the process. The wait has a limit, because the memory that says
// so may have been overwritten.
void await_end() noexcept {
  timespec left{patience_s + 1, 0};
  while (os::raw_call(SYS_nanosleep, reinterpret_cast<long>(&left),
                      reinterpret_cast<long>(&left)) == -EINTR) {
  }
}

[[noreturn]] void on_crash_of_handler(int signal) noexcept {
  take_handlers_away();  // a signal stack of the program's own may have hidden the second crash
  // Most likely the unwinder met a damaged stack. The report has the frames found until then.
  if (phase.exchange(Phase::naming) == Phase::unwinding) {
    name_frames();
    end_by(first_signal.load());
  }
  end_raw(signal);
}

void on_crash(int signal, siginfo_t* info, void* context) {
  // A handler of the task may have crashed on that stack. That is the first crash, and is reported.
  if (context != nullptr && is_in_handler(context)) take_handlers_away();
  if (::getpid() != owner || info == nullptr || context == nullptr) {
    return let_it_do_its_work(signal, info);
  }
  int const error = errno;
  pid_t const self = this_thread();
  pid_t other = 0;
  if (!reporter.compare_exchange_strong(other, self)) {
    // There is no signal stack, and the handler has crashed.
    if (other == self) on_crash_of_handler(signal);
    await_end();
    end_raw(signal);
  }
  first_signal.store(signal);
  report(signal, *info, context);
  let_it_do_its_work(signal, info);
  errno = error;
}

void have_alternate_stack() noexcept {
  stack_t now{};
  if (::sigaltstack(nullptr, &now) != 0) return;
  if ((now.ss_flags & SS_DISABLE) == 0 && now.ss_size >= min_alternate_stack) return;
  auto const page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  // With a guard page below it. It is never unmapped.
  void* const memory = ::mmap(nullptr, alternate_stack + page, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return;
  ::mprotect(memory, page, PROT_NONE);
  stack_t ours{};
  ours.ss_sp = static_cast<std::byte*>(memory) + page;
  ours.ss_size = alternate_stack;
  ::sigaltstack(&ours, nullptr);
}

}  // namespace

void prepare_crash_reports() noexcept {
  if (std::exchange(prepared, true)) return;
  have_alternate_stack();
  _Unwind_Backtrace(no_step, nullptr);
  for (int const signal : reported) {
    struct sigaction before{};
    if (::sigaction(signal, nullptr, &before) != 0) continue;
    if ((before.sa_flags & SA_SIGINFO) != 0 || before.sa_handler != SIG_DFL) continue;
    struct sigaction ours{};
    ours.sa_sigaction = on_crash;
    // NODEFER: a crash of the handler reaches the handler.
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    ::sigaction(signal, &ours, nullptr);
  }
}

void report_crashes(std::span<std::byte> control_page) noexcept {
  words = reinterpret_cast<CrashWords*>(control_page.data() + channel::crash_offset);
  owner = ::getpid();
  prepare_crash_reports();
}

}  // namespace procpool::inline v0_1::worker
