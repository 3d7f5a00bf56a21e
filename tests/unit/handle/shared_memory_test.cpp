// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Shared memory that arrives from another process: nothing about it is believed.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <procpool.hpp>

#include "os/fd.hpp"
#include "os/memfd.hpp"

namespace procpool::detail {
namespace {

constexpr int needed_seals = F_SEAL_SHRINK | F_SEAL_GROW;

os::UniqueFd memory_file(std::uint64_t size, int seals = needed_seals) {
  os::Memfd file = os::Memfd::create("procpool-test", size);
  if (seals != 0) file.seal(seals);
  return file.duplicate();
}

// Nobody has it.
std::uint64_t new_id() {
  static std::uint64_t last = 0x1234'5678'9abc'0000;
  return ++last;
}

template <class... Fds>
std::shared_ptr<Resource> adopt(Fds... fds) {
  std::vector<os::UniqueFd> all;
  (all.push_back(std::move(fds)), ...);
  return SharedMemory::adopt(new_id(), all);
}

template <class T>
Bytes message(T const& array) {
  Resource::List parts;
  ResourceCollector const collector(parts);
  Bytes bytes;
  encode(bytes, array);
  return bytes;
}

TEST(SharedMemory, ThatArrivesIsTheSame) {
  SharedArray<int> const numbers(1000);
  numbers[7] = 8;
  Resource::List parts;
  {
    ResourceCollector const collector(parts);
    Bytes bytes;
    encode(bytes, numbers);
  }
  ASSERT_EQ(parts.size(), 1U);
  ASSERT_EQ(parts[0]->descriptors().size(), 1U);
  auto const other = adopt(os::duplicate(parts[0]->descriptors()[0]));
  auto const memory = std::static_pointer_cast<SharedMemory>(other);
  EXPECT_EQ(memory->size(), 1000 * sizeof(int));
  auto const view = memory->view(MemoryAccess::write);
  auto* const seen = reinterpret_cast<int*>(view->data());
  EXPECT_EQ(seen[7], 8);
  seen[7] = 9;
  EXPECT_EQ(numbers[7], 9);
  EXPECT_EQ(SharedMemory::find(memory->id()), memory);
}

TEST(SharedMemory, ThatIsNotSealedIsRefused) {
  EXPECT_THROW(adopt(memory_file(8192, 0)), BadResource);
  EXPECT_THROW(adopt(memory_file(8192, F_SEAL_SHRINK)), BadResource);
  EXPECT_THROW(adopt(memory_file(8192, F_SEAL_GROW)), BadResource);
  EXPECT_NO_THROW(adopt(memory_file(8192)));
}

TEST(SharedMemory, ThatIsTooSmallIsRefused) {
  EXPECT_THROW(adopt(memory_file(0)), BadResource);
  EXPECT_THROW(adopt(memory_file(4095)), BadResource);
  EXPECT_NO_THROW(adopt(memory_file(4096)));
}

TEST(SharedMemory, ThatIsSomethingElseIsRefused) {
  EXPECT_THROW(adopt(), BadResource);
  EXPECT_THROW(adopt(memory_file(8192), memory_file(8192)), BadResource);
  EXPECT_THROW(adopt(os::UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC))), BadResource);
  EXPECT_THROW(adopt(os::UniqueFd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC))), BadResource);
  EXPECT_THROW(adopt(os::UniqueFd(::open("/dev/shm", O_RDONLY | O_CLOEXEC))), BadResource);
  EXPECT_THROW(adopt(os::UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))), BadResource);
}

TEST(SharedMemory, OfHugePagesIsRefused) {
  os::UniqueFd file(static_cast<int>(
      ::memfd_create("procpool-test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB)));
  if (!file || ::ftruncate(file.get(), 2 << 20) != 0) GTEST_SKIP() << "there are none here";
  ASSERT_EQ(::fcntl(file.get(), F_ADD_SEALS, needed_seals), 0);
  EXPECT_THROW(adopt(std::move(file)), BadResource);
}

// The numbers in a message are a worker's claim.
TEST(SharedMemory, HasNoMoreElementsThanItsSize) {
  SharedArray<std::uint64_t> const numbers(100);
  Bytes const good = message(numbers);
  ASSERT_EQ(good.size(), 3 * sizeof(std::uint64_t));
  EXPECT_EQ(decode<SharedArray<std::uint64_t>>(good).data(), numbers.data());
  auto const with = [&](std::uint64_t first, std::uint64_t count) {
    Bytes bytes = good;
    std::memcpy(bytes.data() + 8, &first, 8);
    std::memcpy(bytes.data() + 16, &count, 8);
    return bytes;
  };
  using Array = SharedArray<std::uint64_t>;
  EXPECT_EQ(decode<Array>(with(100, 0)).size(), 0U);
  EXPECT_EQ(decode<Array>(with(99, 1)).size(), 1U);
  for (auto const& [first, count] : {std::pair<std::uint64_t, std::uint64_t>{0, 101},
                                     {1, 100},
                                     {101, 0},
                                     {UINT64_MAX, 1},
                                     {1, UINT64_MAX},
                                     {UINT64_MAX, UINT64_MAX},
                                     {std::uint64_t{1} << 61, std::uint64_t{1} << 61}}) {
    EXPECT_THROW(decode<Array>(with(first, count)), SerializationError) << first << " " << count;
  }
  // The same memory, taken for elements of another size.
  EXPECT_EQ(decode<SharedArray<char>>(with(0, 800)).size(), 800U);
  EXPECT_THROW(decode<SharedArray<char>>(with(0, 801)), SerializationError);
  struct Large {
    std::uint64_t words[101];
  };
  EXPECT_THROW(decode<SharedArray<Large>>(with(0, 1)), SerializationError);
  Bytes id = good;
  id.resize(8);
  EXPECT_THROW(decode<SharedValue<Large>>(id), SerializationError);
  EXPECT_NO_THROW(decode<SharedValue<std::uint64_t>>(id));
}

TEST(SharedMemory, OfAnUnknownIdIsRefused) {
  Bytes bytes = message(SharedArray<int>(10));  // is gone by now
  EXPECT_THROW(decode<SharedArray<int>>(bytes), SerializationError);
}

TEST(SharedMemory, ThatIsFrozenIsNotMappedForWriting) {
  SharedArray<int> numbers(10);
  Bytes const bytes = message(numbers);
  SharedArray<int const> const frozen = std::move(numbers).freeze();
  EXPECT_THROW(decode<SharedArray<int>>(bytes), SerializationError);
  EXPECT_EQ(decode<SharedArray<int const>>(bytes).data(), frozen.data());
}

// Takes the addresses of all that other threads unmap, if it is so large.
class Grabber {
 public:
  explicit Grabber(std::size_t size)
      : thread_([this, size] {
          while (!over_) {
            void* const place =
                ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (place == MAP_FAILED) continue;
            places_.push_back(place);
            if (places_.size() > 1'000) {
              for (void* const each : places_) ::munmap(each, size);
              places_.clear();
            }
          }
          for (void* const each : places_) ::munmap(each, size);
        }) {}
  ~Grabber() {
    over_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::vector<void*> places_;
  std::thread thread_;
};

// Another process has it for writing: the freezing gives the own view up, and has to get it back.
TEST(SharedMemory, ThatCannotBeFrozenIsWhereItWas) {
  constexpr std::size_t size = 4 << 20;
  SharedArray<char> bytes(size - 4096);
  Resource::List parts;
  {
    ResourceCollector const collector(parts);
    Bytes message;
    encode(message, bytes);
  }
  auto other = std::static_pointer_cast<SharedMemory>(
      adopt(os::duplicate(parts.at(0)->descriptors().at(0))));
  parts.clear();
  auto writer = other->view(MemoryAccess::write);
  char* const place = bytes.data();
  bytes[5] = 'a';
  {
    Grabber const grabber(size);
    EXPECT_THROW(std::move(bytes).freeze(std::chrono::milliseconds(200)), StillShared);
  }
  ASSERT_EQ(bytes.data(), place);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(bytes[5], 'a');
  bytes[5] = 'b';
  EXPECT_FALSE(bytes.frozen());
  writer.reset();
  SharedArray<char const> const frozen = std::move(bytes).freeze();
  EXPECT_EQ(frozen.data(), place);
  EXPECT_EQ(frozen[5], 'b');
  EXPECT_TRUE(frozen.frozen());
}

// Whoever freezes it second finds that it is done.
TEST(SharedMemory, ThatAnotherProcessHasFrozenIsFrozen) {
  SharedArray<int> numbers(10);
  numbers[3] = 4;
  Resource::List parts;
  {
    ResourceCollector const collector(parts);
    Bytes message;
    encode(message, numbers);
  }
  os::Memfd file(os::duplicate(parts.at(0)->descriptors().at(0)));
  parts.clear();
  auto const freezes = [&] { return std::move(numbers).freeze(std::chrono::seconds(20)); };
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over && !file.try_seal(F_SEAL_WRITE)) {
    }
  });
  SharedArray<int const> const frozen = freezes();
  over = true;
  other.join();
  EXPECT_EQ(frozen[3], 4);
}

}  // namespace
}  // namespace procpool::detail
