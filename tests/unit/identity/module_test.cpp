// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Functions by module, within this process; both sides are played here.
#include "identity/module.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "identity/elf_file.hpp"
#include "identity/images.hpp"

namespace {

namespace identity = procpool::identity;
namespace fs = std::filesystem;
using identity::BuildId;
using identity::CodeRef;

int twice(int x) { return 2 * x; }
int some_data = 5;

void const* address(auto* function) { return reinterpret_cast<void const*>(function); }

std::string failure(auto&& call) {
  try {
    call();
  } catch (std::runtime_error const& e) {
    return e.what();
  }
  return "";
}

BuildId id_of(std::initializer_list<int> bytes) {
  std::vector<std::byte> raw;
  for (int const b : bytes) raw.push_back(static_cast<std::byte>(b));
  return BuildId::from_note(raw);
}

TEST(IdentityBuildId, ComparesHashesAndPrints) {
  BuildId const a = id_of({0x0a, 0xff});
  EXPECT_EQ(a.hex(), "0aff");
  EXPECT_EQ(a, id_of({0x0a, 0xff}));
  EXPECT_NE(a, id_of({0x0a, 0xff, 0x00}));
  EXPECT_EQ(a.hash(), id_of({0x0a, 0xff}).hash());
  EXPECT_NE(a.hash(), id_of({0x0b, 0xff}).hash());
  EXPECT_NE(BuildId::from_file(1, 2, 3, 4), BuildId::from_file(1, 2, 3, 5));
  EXPECT_EQ(BuildId{}.kind(), BuildId::Kind::none);
  std::vector<std::byte> longer(40, std::byte{1});
  BuildId const folded = BuildId::from_note(longer);
  longer[39] = std::byte{2};
  EXPECT_NE(folded, BuildId::from_note(longer)) << "bytes beyond 32 count";
}

TEST(IdentityBuildId, TakesOnlySoundPartsFromAWire) {
  for (BuildId const& id : {id_of({1, 2, 3}), BuildId::from_file(1, 2, 3, 4), BuildId{}}) {
    EXPECT_EQ(BuildId::from_parts(static_cast<std::uint8_t>(id.kind()), id.bytes()), id);
  }
  std::vector<std::byte> const many(33);
  std::span<std::byte const> const all(many);
  EXPECT_FALSE(BuildId::from_parts(1, all));
  EXPECT_FALSE(BuildId::from_parts(1, {}));
  EXPECT_FALSE(BuildId::from_parts(0, all.first(1)));
  EXPECT_FALSE(BuildId::from_parts(2, all.first(31)));
  EXPECT_FALSE(BuildId::from_parts(3, all.first(8)));
}

TEST(IdentityModule, LocatesAndResolvesAFunctionOfTheProgram) {
  CodeRef const ref = identity::locate(address(&twice));
  EXPECT_EQ(ref.path, fs::read_symlink("/proc/self/exe"));
  EXPECT_NE(ref.module.kind(), BuildId::Kind::none);
  auto* const found = reinterpret_cast<int (*)(int)>(identity::resolve(ref));
  EXPECT_EQ(found, &twice);
  EXPECT_EQ(found(21), 42);
  EXPECT_EQ(identity::locate(address(&twice)), ref) << "from the cache";
  EXPECT_EQ(identity::resolve(ref), address(&twice)) << "from the cache";
}

TEST(IdentityModule, LocatesAFunctionOfAnotherModule) {
  void const* const code = ::dlsym(RTLD_DEFAULT, "getpid");
  if (code == nullptr) GTEST_SKIP() << "statically linked";
  CodeRef const ref = identity::locate(code);
  EXPECT_NE(ref.path, identity::locate(address(&twice)).path);
  EXPECT_TRUE(fs::path(ref.path).is_absolute());
  EXPECT_EQ(identity::resolve(ref), code);
}

TEST(IdentityModule, RefusesAddressesThatAreNotCode) {
  int on_stack = 0;
  auto const on_heap = std::make_unique<int>(0);
  std::initializer_list<void const*> const bad{&on_stack, on_heap.get(), &some_data, nullptr,
                                               reinterpret_cast<void const*>(~std::uintptr_t{0})};
  for (void const* p : bad) {
    EXPECT_NE(failure([&] { identity::locate(p); }).find("not in the executable memory"),
              std::string::npos)
        << p;
  }
}

TEST(IdentityModule, RefusesOffsetsOutsideExecutableMemory) {
  CodeRef const good = identity::locate(address(&twice));
  auto const base = reinterpret_cast<std::uintptr_t>(&twice) - good.offset;
  auto const data = reinterpret_cast<std::uintptr_t>(&some_data) - base;
  for (std::uint64_t const offset :
       {std::uint64_t{data}, std::uint64_t{1} << 40, ~std::uint64_t{0}, ~std::uint64_t{0} - base}) {
    CodeRef bad = good;
    bad.offset = offset;
    std::string const why = failure([&] { identity::resolve(bad); });
    EXPECT_NE(why.find("not in the executable part"), std::string::npos) << offset;
    EXPECT_NE(why.find(good.path), std::string::npos);
  }
}

TEST(IdentityModule, RefusesAnotherBuildWithBothIdsInTheSentence) {
  CodeRef ref = identity::locate(address(&twice));
  std::string const here = ref.module.hex();
  ref.module = id_of({0xab, 0xcd});
  std::string const why = failure([&] { identity::resolve(ref); });
  EXPECT_NE(why.find("was replaced on disk since this program started"), std::string::npos) << why;
  EXPECT_NE(why.find("abcd"), std::string::npos);
  EXPECT_NE(why.find(here), std::string::npos);
  EXPECT_NE(why.find(ref.path), std::string::npos);
}

TEST(IdentityModule, RefusesModulesThatCannotBeOpened) {
  std::string why = failure([] { identity::resolve({id_of({1}), 0, "/nowhere/libgone.so"}); });
  EXPECT_NE(why.find("could not open the module /nowhere/libgone.so"), std::string::npos) << why;
  EXPECT_NE(why.find("build-id 01"), std::string::npos);
  why = failure([] { identity::resolve({BuildId{}, 0, "/nowhere/libgone.so"}); });
  EXPECT_NE(why.find("neither a build-id"), std::string::npos) << why;
  // Such a name would be looked for along LD_LIBRARY_PATH.
  why = failure([] { identity::resolve({id_of({1}), 0, "libanl.so.1"}); });
  EXPECT_NE(why.find("not absolute"), std::string::npos) << why;
}

TEST(IdentityModule, TheFileOfALoadedModuleTellsTheSameBuild) {
  for (auto const& module : identity::loaded_modules()) {
    if (module.id.kind() != BuildId::Kind::note) continue;  // sanitizers' libraries may have none
    EXPECT_EQ(identity::ElfFile(module.path.c_str()).build(), module.id) << module.path;
  }
}

TEST(IdentityModule, WhatIsNoModuleIsNoBuild) {
  for (char const* path : {"/dev/zero", "/etc/passwd", "/", "/nowhere"}) {
    EXPECT_EQ(identity::ElfFile(path).build(), BuildId{}) << path;
  }
  std::string const fifo = testing::TempDir() + "procpool_no_module_" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(identity::ElfFile(fifo.c_str()).build(), BuildId{}) << "and nobody waits for a writer";
  ::unlink(fifo.c_str());
}

// A small library of glibc that no program links.
class IdentityPlugin : public ::testing::Test {
 protected:
  static constexpr char const* name = "libBrokenLocale.so.1";
  void SetUp() override {
    void* const handle = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) GTEST_SKIP() << "no " << name;
    void* const code = ::dlsym(handle, "__ctype_get_mb_cur_max");
    ASSERT_NE(code, nullptr);
    ref_ = identity::locate(code);
    EXPECT_EQ(identity::resolve(ref_), code);
    code_ = code;
    ::dlclose(handle);
    if (loaded()) GTEST_SKIP() << "the library stays loaded";
  }
  bool loaded() const { return ::dlopen(ref_.path.c_str(), RTLD_NOW | RTLD_NOLOAD) != nullptr; }
  CodeRef ref_;
  void const* code_ = nullptr;
};

TEST_F(IdentityPlugin, AnswersAreForgottenWhenAModuleGoes) {
  for (int i = 0; i < 2; ++i) EXPECT_NE(failure([&] { identity::locate(code_); }), "") << i;
}

// Order: the last one leaves the library loaded for ever, as it must.
TEST_F(IdentityPlugin, AnotherBuildIsRefusedBeforeAnythingOfItIsLoaded) {
  CodeRef other = ref_;
  other.module = id_of({0xee});
  identity::Generation const before = identity::generation();
  std::string const why = failure([&] { identity::resolve(other); });
  EXPECT_EQ(identity::generation(), before) << "its constructors would have run";
  EXPECT_NE(why.find("was replaced on disk"), std::string::npos) << why;
  EXPECT_NE(why.find(ref_.module.hex()), std::string::npos) << why;
  EXPECT_FALSE(loaded());
}

TEST_F(IdentityPlugin, OpenedOnFirstUse) {
  void* const code = identity::resolve(ref_);
  ASSERT_NE(code, nullptr);
  EXPECT_TRUE(loaded());
  EXPECT_EQ(identity::locate(code), ref_);
  EXPECT_GE(reinterpret_cast<std::size_t (*)()>(code)(), 1U);
}

TEST(IdentityModule, ListsTheProgramFirstAndNoVdso) {
  auto const modules = identity::loaded_modules();
  ASSERT_FALSE(modules.empty());
  EXPECT_EQ(modules.front().path, fs::read_symlink("/proc/self/exe"));
  for (auto const& module : modules) {
    EXPECT_EQ(module.path.find("vdso"), std::string::npos);
    EXPECT_TRUE(fs::exists(module.path)) << module.path;
    EXPECT_NE(module.id.kind(), BuildId::Kind::none) << module.path;
  }
}

TEST(IdentityModule, NamesTheFirstDifference) {
  using Modules = std::vector<identity::LoadedModule>;
  Modules const parent{{"/p", id_of({1})}, {"/a.so", id_of({2})}, {"/b.so", id_of({3})}};
  EXPECT_EQ(identity::first_difference(parent, parent), std::nullopt);
  Modules worker{{"/proc/self/fd/4", id_of({1})}, {"/b.so", id_of({3})}, {"/new.so", id_of({9})}};
  EXPECT_EQ(identity::first_difference(parent, worker), std::nullopt) << "order and extras";
  worker[1].id = id_of({0x77});
  std::string const library = identity::first_difference(parent, worker).value_or("");
  EXPECT_NE(library.find("/b.so was replaced on disk"), std::string::npos) << library;
  EXPECT_NE(library.find("77"), std::string::npos);
  worker[0].id = id_of({0x55});
  std::string const program = identity::first_difference(parent, worker).value_or("");
  EXPECT_NE(program.find("another program"), std::string::npos) << program;
  EXPECT_TRUE(identity::first_difference({}, worker));
  EXPECT_EQ(identity::first_difference(identity::loaded_modules(), identity::loaded_modules()),
            std::nullopt);
}

TEST(IdentityModule, ManyThreadsMayAsk) {
  CodeRef const ref = identity::locate(address(&twice));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        if (identity::locate(address(&twice)) != ref) ++wrong;
        if (identity::resolve(ref) != address(&twice)) ++wrong;
        // What one thread lists is replaced by others, and stays whole for it.
        auto const modules = identity::loaded_modules();
        if (modules.empty() || modules.front().id != ref.module) ++wrong;
        if (!identity::locate_data(&some_data, sizeof some_data)) ++wrong;
        // Modules come and go meanwhile: the caches start over.
        if (void* const h = ::dlopen("libanl.so.1", RTLD_NOW)) ::dlclose(h);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
