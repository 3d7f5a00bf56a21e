// In the handler: system calls and memory of our own, nothing else. The one exception is libgcc's unwinder,
// which reads the tables of the modules: it is called once beforehand, so that nothing is left to be looked up
// or allocated, and takes no lock where the C library is of 2.35 or newer. For what can go wrong all the
// same see the header.
//
// Our own memory may be what was damaged. So whether the handler itself has crashed is told by the frame of the
// signal, before any variable is looked at, and the first thing that is done about it is to take the handlers away, by
// registers alone: what goes wrong after that ends the process.
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

namespace procpool::inline v0::worker {
namespace {

using channel::CrashWords;

constexpr std::array reported{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};
// The same as the kernel has it: a number, so that no constant has to be looked up in memory.
constexpr std::uint64_t set_of_reported = [] {
  std::uint64_t set = 0;
  for (int const signal : reported) set |= std::uint64_t{1} << (signal - 1);
  return set;
}();
constexpr std::size_t alternate_stack = 128 * 1024;
// The program's own is used if it is no smaller.
constexpr std::size_t min_alternate_stack = 32 * 1024;
constexpr time_t patience_s = 2;
// What the kernel's set of signals has.
constexpr long set_bytes = 8;

enum class Phase : std::uint8_t { none, unwinding, naming, done };

CrashWords* words = nullptr;
bool prepared = false;             // by this process, or by the one that it was forked from
pid_t owner = 0;                   // this process, and not one that it forked
std::atomic<pid_t> reporter{0};    // the thread that crashed first
std::atomic<int> first_signal{0};  // and by what
std::atomic<Phase> phase{Phase::none};
std::array<std::uintptr_t, channel::max_crash_frames> addresses;
std::atomic<std::size_t> address_count{0};

// Of the thread that crashed, where it did.
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
  // Relaxed: read when this process is dead, by when every store of it has happened.
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
  bool crashed = false;  // has come to the one that crashed
};
constexpr int max_below = 32;

// The frames from here to the one that the signal interrupted are the handler's own: that one is the
// first whose address is of an instruction that has not been executed.
_Unwind_Reason_Code step(_Unwind_Context* frame, void* data) {
  auto& walk = *static_cast<Walk*>(data);
  int interrupted = 0;
  auto const address = static_cast<std::uintptr_t>(_Unwind_GetIPInfo(frame, &interrupted));
  walk.crashed = walk.crashed || interrupted != 0;
  if (!walk.crashed) return ++walk.below < max_below ? _URC_NO_REASON : _URC_END_OF_STACK;
  if (address == 0 && interrupted == 0) return _URC_END_OF_STACK;
  // Of a call it is where that returns to, which may lie in the next function already.
  note(interrupted != 0 ? address : address - 1);
  bool const full = address_count.load(std::memory_order_relaxed) == addresses.size();
  return full ? _URC_END_OF_STACK : _URC_NO_REASON;
}

_Unwind_Reason_Code no_step(_Unwind_Context* frame, void*) {
  int interrupted = 0;
  return _Unwind_GetIPInfo(frame, &interrupted) == 0 ? _URC_END_OF_STACK : _URC_NO_REASON;
}

// ---- the time that all of it may take

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
  // A core dump may take as long as it likes.
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

// The word there, if there is one.
bool peek(std::uintptr_t address, std::uintptr_t& word) noexcept {
  iovec const into{&word, sizeof word};
  // NOLINTNEXTLINE(performance-no-int-to-ptr): it may be any
  iovec const from{reinterpret_cast<void*>(address), sizeof word};
  return ::process_vm_readv(owner, &into, 1, &from, 1, 0) == sizeof word;
}

// A push goes right below the pointer; a large frame has moved the pointer itself to where nothing is.
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
  // Nothing can be unwound from where there is no code, but its caller can be told: it has just called.
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
  // Of what it has no tables for, the unwinder looks at the instruction: it would crash where there is none.
  std::uintptr_t instruction = 0;
  bool const nowhere = registers.sp != 0 && !peek(registers.pc, instruction) && errno == EFAULT;
  Walk walk;
  if (!nowhere) _Unwind_Backtrace(step, &walk);
  phase.store(Phase::naming, std::memory_order_relaxed);
  name_frames();
  phase.store(Phase::done, std::memory_order_relaxed);
}

// As if there were no handler. The signal is blocked until the handler returns: it comes then, with all that
// was said of it, at the very instruction, so that a core dump shows that.
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

// By the frame of a signal: has that interrupted something on the stack for handlers, or beyond its end? The second
// would begin at the top of that stack again, and so for ever.
bool is_in_handler(void const* context) noexcept {
  auto const& stack = static_cast<ucontext_t const*>(context)->uc_stack;
  if ((stack.ss_flags & SS_DISABLE) != 0 || stack.ss_size == 0) return false;
  constexpr std::uintptr_t beyond = 64 * 1024;
  auto const lowest = reinterpret_cast<std::uintptr_t>(stack.ss_sp);
  std::uintptr_t const sp = registers_of(context).sp;
  return sp >= lowest - std::min(beyond, lowest) && sp < lowest + stack.ss_size;
}

// From here on every one of them ends the process. What else the set holds is blocked.
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

// By a signal if that can be had, and in any case.
[[noreturn]] void end_raw(int signal) noexcept {
  take_handlers_away();
  long const process = os::raw_call(SYS_getpid);
  long const thread = os::raw_call(SYS_gettid);
  os::raw_call(SYS_tgkill, process, thread, signal);
  os::raw_call(SYS_tgkill, process, thread, SIGKILL);
  for (;;) os::raw_call(SYS_exit_group, 128 + signal);
}

// Somebody else reports: this thread waits for the end, which that one brings. Not for ever: who says so may be
// memory that was overwritten.
void await_end() noexcept {
  timespec left{patience_s + 1, 0};
  while (os::raw_call(SYS_nanosleep, reinterpret_cast<long>(&left),
                      reinterpret_cast<long>(&left)) == -EINTR) {
  }
}

[[noreturn]] void on_crash_of_handler(int signal) noexcept {
  take_handlers_away();  // a stack of the program's own may have hidden that
  // On its way through a stack in ruins, most likely: what it has found until then is told.
  if (phase.exchange(Phase::naming) == Phase::unwinding) {
    name_frames();
    end_by(first_signal.load());
  }
  end_raw(signal);
}

void on_crash(int signal, siginfo_t* info, void* context) {
  // Or one of the task's has, on that stack: then it is the first crash, and reported as any other.
  if (context != nullptr && is_in_handler(context)) take_handlers_away();
  if (::getpid() != owner || info == nullptr || context == nullptr) {
    return let_it_do_its_work(signal, info);
  }
  int const error = errno;
  pid_t const self = this_thread();
  pid_t other = 0;
  if (!reporter.compare_exchange_strong(other, self)) {
    // Without a stack for handlers that one has crashed again.
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
  // With a page below it that cannot be touched. It is never given back.
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
    // NODEFER: should the handler crash too, it shall hear of that.
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    ::sigaction(signal, &ours, nullptr);
  }
}

void report_crashes(std::span<std::byte> control_page) noexcept {
  words = reinterpret_cast<CrashWords*>(control_page.data() + channel::crash_offset);
  owner = ::getpid();
  prepare_crash_reports();
}

}  // namespace procpool::inline v0::worker
