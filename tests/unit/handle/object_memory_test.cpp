// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Memory of a shared object: which words in it are addresses, and what is believed of one that
// arrives.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <procpool/detail/handle/object_memory.hpp>
#include <procpool/detail/handle/shared_memory.hpp>
#include <procpool/errors.hpp>

#include "os/fd.hpp"
#include "os/memfd.hpp"

namespace procpool::detail {
namespace {

constexpr int sealed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
constexpr std::size_t header = 64;
constexpr std::size_t page = 4096;

using Memory = std::span<std::byte>;

void write_word(Memory memory, std::size_t at, std::uintptr_t word) {
  std::memcpy(memory.data() + at, &word, sizeof word);
}
std::uintptr_t address_in(Memory memory, std::ptrdiff_t at) {
  return reinterpret_cast<std::uintptr_t>(memory.data()) + static_cast<std::uintptr_t>(at);
}

// Of `bytes` bytes, with this word at this place. True: it is found there.
template <class Word>
bool found_with(std::size_t bytes, std::size_t at, Word word) {
  auto const object = ObjectMemory::create<long>(bytes, [&](Memory memory) -> long& {
    write_word(memory, at, word(memory));
    return *new (memory.data() + 8) long(5);
  });
  auto const found = object->find_raw_pointer();
  EXPECT_EQ(found.value_or(at), at);
  return found.has_value();
}

std::shared_ptr<ObjectMemory> number_object(long number) {
  return ObjectMemory::create<long>(
      100, [number](Memory memory) -> long& { return *new (memory.data()) long(number); });
}

// ---- raw pointers in it

TEST(ObjectMemory, AnAddressInItIsFoundWhereverItLies) {
  constexpr std::size_t bytes = 8 * page - header;
  auto const first = [](Memory memory) { return address_in(memory, 0); };
  for (std::size_t const at :
       {std::size_t{0}, std::size_t{16}, page - header - 8, page - header, 5 * page, bytes - 8}) {
    EXPECT_TRUE(found_with(bytes, at, first)) << at;
  }
}

TEST(ObjectMemory, AnyAddressInItIsFoundAndNoOther) {
  constexpr std::size_t bytes = 8 * page - header;
  auto const to = [](std::ptrdiff_t at) {
    return [at](Memory memory) {
      write_word(memory, memory.size() - 8, 1);  // so that all of it is used
      return address_in(memory, at);
    };
  };
  EXPECT_TRUE(found_with(bytes, 64, to(0)));
  EXPECT_TRUE(found_with(bytes, 64, to(12345)));
  EXPECT_TRUE(found_with(bytes, 64, to(bytes - 1)));
  EXPECT_FALSE(found_with(bytes, 64, to(bytes)));
  EXPECT_FALSE(found_with(bytes, 64, to(-static_cast<std::ptrdiff_t>(header) - 1)));
  EXPECT_FALSE(found_with(bytes, 64, [](Memory) { return std::uintptr_t{0}; }));
  EXPECT_FALSE(found_with(bytes, 64, [](Memory) { return ~std::uintptr_t{0}; }));
  EXPECT_FALSE(found_with(bytes, 64, [](Memory) {
    return reinterpret_cast<std::uintptr_t>(&header);  // elsewhere: nobody can tell
  }));
}

// A small number beside padding with half of an address would be one else, in a large memory.
TEST(ObjectMemory, AnAddressOfMemoryThatIsNotUsedIsANumber) {
  constexpr std::size_t bytes = 8 * page - header;
  EXPECT_FALSE(found_with(bytes, 64, [](Memory memory) { return address_in(memory, 5 * page); }));
}

// Pages between that nobody has written are not even looked at.
TEST(ObjectMemory, AnAddressBehindALargeHoleIsFound) {
  constexpr std::size_t bytes = std::size_t{1} << 34;
  auto const first = [](Memory memory) { return address_in(memory, 0); };
  EXPECT_TRUE(found_with(bytes, bytes / 2, first));
  EXPECT_TRUE(found_with(bytes, bytes - 8, first));
  EXPECT_FALSE(found_with(bytes, bytes / 2, [](Memory) { return std::uintptr_t{5}; }));
}

// ---- the object in it

TEST(ObjectMemory, TheObjectLiesWhollyInIt) {
  struct Large {
    long words[8];
  };
  auto const at = [](std::ptrdiff_t offset) {
    return ObjectMemory::create<Large>(page - header, [offset](Memory memory) -> Large& {
      return *reinterpret_cast<Large*>(memory.data() + offset);
    });
  };
  constexpr std::ptrdiff_t end = page - header;
  EXPECT_NO_THROW(at(0));
  EXPECT_NO_THROW(at(end - 64));
  EXPECT_THROW(at(end - 56), std::invalid_argument);
  EXPECT_THROW(at(end), std::invalid_argument);
  EXPECT_THROW(at(-8), std::invalid_argument);
  struct Larger {
    std::byte bytes[2 * page];
  };
  EXPECT_THROW(
      ObjectMemory::create<Larger>(
          100, [](Memory memory) -> Larger& { return *reinterpret_cast<Larger*>(memory.data()); }),
      std::invalid_argument);
}

TEST(ObjectMemory, IsFoundAsWhatItIs) {
  auto const object = number_object(7);
  auto const found = ObjectMemory::find(object->id(), typeid(long));
  EXPECT_EQ(found, object);
  EXPECT_EQ(*static_cast<long const*>(found->object()), 7);
  // Else a worker could have the program follow the parts of another type.
  EXPECT_THROW(ObjectMemory::find(object->id(), typeid(unsigned long)), SerializationError);
  EXPECT_THROW(SharedMemory::find(object->id()), SerializationError);
  auto const memory = SharedMemory::create(1, 100);
  EXPECT_THROW(ObjectMemory::find(memory->id(), typeid(long)), SerializationError);
}

// ---- its way

std::uint64_t unknown_id() {
  static std::uint64_t last = 0x2345'6789'abcd'0000;
  return ++last;
}

template <class... Fds>
std::shared_ptr<Resource> adopt_object(Resource::Sender sender, std::uint64_t id, Fds... fds) {
  std::vector<os::UniqueFd> all;
  (all.push_back(std::move(fds)), ...);
  return Resource::adopt(id, Resource::Kind::object, std::move(all), sender);
}
template <class... Fds>
std::shared_ptr<Resource> adopt_from_parent(Fds... fds) {
  return adopt_object(Resource::Sender::parent, unknown_id(), std::move(fds)...);
}

os::UniqueFd file_with(std::uint64_t size, int seals, std::uint64_t object = header) {
  os::Memfd file = os::Memfd::create("procpool-test", size);
  if (size >= 16) file.write_at(std::as_bytes(std::span(&object, 1)), 8);
  if (seals != 0) file.seal(seals);
  return file.duplicate();
}

TEST(ObjectMemory, ThatArrivesFromTheParentIsTheSame) {
  auto const object = number_object(8);
  auto const arrived = std::static_pointer_cast<ObjectMemory>(
      adopt_from_parent(os::duplicate(object->descriptors().at(0))));
  EXPECT_NE(arrived, object);
  EXPECT_EQ(*static_cast<long const*>(arrived->object()), 8);
  EXPECT_NE(arrived->object(), object->object()) << "at an address of its own";
  EXPECT_EQ(ObjectMemory::find(arrived->id(), typeid(long)), arrived);
}

TEST(ObjectMemory, ThatArrivesFromAWorkerIsTheKnownOneOrRefused) {
  auto const object = number_object(8);
  auto const other = number_object(8);
  auto const from_worker = [](std::uint64_t id, ObjectMemory const& memory) {
    return adopt_object(Resource::Sender::worker, id, os::duplicate(memory.descriptors().at(0)));
  };
  EXPECT_EQ(from_worker(object->id(), *object), object);
  EXPECT_THROW(from_worker(object->id(), *other), BadResource);
  EXPECT_THROW(from_worker(unknown_id(), *object), BadResource);
}

TEST(ObjectMemory, ThatCouldChangeIsRefused) {
  EXPECT_NO_THROW(adopt_from_parent(file_with(page, sealed)));
  for (int const missing : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE}) {
    EXPECT_THROW(adopt_from_parent(file_with(page, sealed & ~missing)), BadResource) << missing;
  }
  EXPECT_THROW(adopt_from_parent(file_with(page, 0)), BadResource);
}

TEST(ObjectMemory, ThatIsSomethingElseIsRefused) {
  EXPECT_THROW(adopt_from_parent(), BadResource);
  EXPECT_THROW(adopt_from_parent(file_with(page, sealed), file_with(page, sealed)), BadResource);
  EXPECT_THROW(adopt_from_parent(file_with(0, sealed)), BadResource);
  EXPECT_THROW(adopt_from_parent(file_with(header - 1, sealed)), BadResource);
  EXPECT_THROW(adopt_from_parent(file_with(page, sealed, page)), BadResource);
  EXPECT_THROW(adopt_from_parent(file_with(page, sealed, UINT64_MAX)), BadResource);
  EXPECT_THROW(adopt_from_parent(os::UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC))),
               BadResource);
  EXPECT_THROW(adopt_from_parent(os::UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))),
               BadResource);
}

}  // namespace
}  // namespace procpool::detail
