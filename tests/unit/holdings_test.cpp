// Holdings: a worker's block is mapped once however often it comes, is handed back when nobody refers to
// it, and is believed only if it can do no harm.

#include "engine/local/holdings.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <optional>

#include "channel/parent_end.hpp"
#include "codec/message_memory.hpp"

namespace procpool::local {
namespace {

using channel::BadRecord;

struct HoldingsTest : testing::Test {
  std::shared_ptr<Holdings> holdings = std::make_shared<Holdings>();
  detail::MessageBlock block{100'000, false};

  os::Memfd file() const { return os::Memfd(os::duplicate(block.fd())); }
  detail::Payload receive(std::uint64_t size = 5) {
    return holdings->receive(file(), block.id(), detail::MessageBlock::ahead, size);
  }
};

TEST_F(HoldingsTest, ViewsABlockOnce) {
  std::memcpy(block.data(), "first", 5);
  auto first = receive();
  EXPECT_EQ(std::memcmp(first.bytes().data(), "first", 5), 0);
  auto const* const place = first.bytes().data();
  first = {};
  std::memcpy(block.data(), "again", 5);
  auto const again = receive();
  EXPECT_EQ(again.bytes().data(), place);
  EXPECT_EQ(std::memcmp(again.bytes().data(), "again", 5), 0);
}

TEST_F(HoldingsTest, HandsABlockBackWhenNobodyRefersToIt) {
  std::optional<detail::Payload> payload = receive();
  std::optional<detail::Payload> copy = payload;
  payload.reset();
  EXPECT_FALSE(holdings->take_news(10).any());
  copy.reset();
  auto news = holdings->take_news(10);
  EXPECT_EQ(news.words.gone, 0u);
  EXPECT_EQ(news.ids, std::vector{block.id()});
  EXPECT_FALSE(holdings->take_news(10).any()) << "once";
  holdings->not_told(std::move(news));
  EXPECT_EQ(holdings->take_news(10).ids, std::vector{block.id()});
}

TEST_F(HoldingsTest, TellsNoMoreThanFits) {
  for (std::uint64_t id = 1; id <= 5; ++id) holdings->sent(id);
  for (std::uint64_t id = 1; id <= 5; ++id) holdings->gone(id);
  auto const some = holdings->take_news(2);
  EXPECT_EQ(some.ids, (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(some.words.gone, 2u);
  EXPECT_EQ(holdings->take_news(100).ids.size(), 3u);
}

TEST_F(HoldingsTest, PayloadsOutliveThem) {
  std::memcpy(block.data(), "alive", 5);
  auto const payload = receive();
  holdings.reset();
  EXPECT_EQ(std::memcmp(payload.bytes().data(), "alive", 5), 0);
}

TEST_F(HoldingsTest, LetGoWhatIsNotUsed) {
  auto const now = Holdings::TimePoint::clock::now();
  EXPECT_EQ(holdings->trim(now), std::nullopt);
  auto payload = receive();
  auto const again = holdings->trim(now);
  ASSERT_TRUE(again);
  EXPECT_EQ(holdings->trim(*again), std::nullopt);
  EXPECT_TRUE(holdings->take_news(10).words.let_go);
  EXPECT_EQ(payload.bytes().size(), 5u) << "which is still there";
  EXPECT_FALSE(holdings->take_news(10).any());
}

TEST_F(HoldingsTest, BelieveOnlyWhatCanDoNoHarm) {
  auto const refused = [&](os::Memfd const& memory, std::uint64_t offset, std::uint64_t size) {
    EXPECT_THROW(holdings->receive(memory, 1, offset, size), BadRecord);
  };
  constexpr std::uint64_t ahead = detail::MessageBlock::ahead;
  refused(os::Memfd::create("unsealed", 100'000), ahead, 5);
  refused(file(), ahead, block.capacity() + 1);
  refused(file(), ahead, ~std::uint64_t{0});
  refused(file(), 5'000, 5);
  refused(os::Memfd(os::UniqueFd(::open("/dev/zero", O_RDONLY))), ahead, 5);
  // Pages of another kind may be missing when they are read.
  int const huge = ::memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING);
  if (huge >= 0) {
    os::Memfd memory{os::UniqueFd(huge)};
    ASSERT_EQ(::ftruncate(huge, 2 << 20), 0);
    memory.seal(F_SEAL_SHRINK);
    refused(memory, ahead, 5);
  }
}

}  // namespace
}  // namespace procpool::local
