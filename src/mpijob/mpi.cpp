// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/mpi.hpp>

#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include <procpool/detail/codec/archive/member_count.hpp>

#include "cluster/cluster_engine.hpp"
#include "mpijob/job.hpp"
#include "options_text.hpp"

// What the linker is asked for, so that the component is linked though nothing refers to it.
extern "C" __attribute__((visibility("default"))) char procpool_has_mpi;
char procpool_has_mpi = 1;

namespace procpool::inline v0_1 {
namespace {

using detail::Named;

constexpr std::tuple mpi_options{Named{"workers_per_host", &MpiOptions::workers_per_host},
                                 Named{"client_works", &MpiOptions::client_works},
                                 Named{"start_timeout", &MpiOptions::start_timeout},
                                 Named{"beat", &MpiOptions::beat},
                                 Named{"lost_after", &MpiOptions::lost_after},
                                 Named{"on_host_lost", &MpiOptions::on_host_lost}};
static_assert(detail::count_members<MpiOptions>().count == std::tuple_size_v<decltype(mpi_options)>,
              "each member is printed and compared");

std::chrono::milliseconds checked_time(std::chrono::milliseconds time, char const* name) {
  if (time.count() > 0) return time;
  throw std::invalid_argument(std::string("procpool: MpiOptions::") + name + " must be above 0");
}

cluster::Options checked(MpiOptions const& options) {
  cluster::Options made;
  if (options.workers_per_host) {
    made.workers_per_host = detail::checked(*options.workers_per_host,
                                            "MpiOptions::workers_per_host", detail::max_workers);
  }
  made.start_timeout = checked_time(options.start_timeout, "start_timeout");
  made.beat = checked_time(options.beat, "beat");
  made.lost_after = checked_time(options.lost_after, "lost_after");
  if (made.lost_after / 2 < made.beat) {
    throw std::invalid_argument(
        "procpool: MpiOptions::lost_after must be at least twice MpiOptions::beat");
  }
  made.on_host_lost =
      options.on_host_lost == OnHostLost::again ? cluster::OnLost::again : cluster::OnLost::fail;
  return made;
}

class MpiEngine final : public detail::EngineMaker {
 public:
  explicit MpiEngine(MpiOptions const& options)
      : options_(checked(options)),
        client_works_(options.client_works),
        text_(options == MpiOptions() ? "mpi()" : "mpi(" + detail::text_of(options) + ")") {}

  std::unique_ptr<detail::Engine> make(PoolOptions const& options) const override {
    auto cluster = mpijob::join();
    // Nobody else would work in a program by itself.
    bool const with_client = client_works_ || cluster.others == 0;
    return cluster::make_engine(std::move(cluster.client), options_, options,
                                cluster.others + (with_client ? 1 : 0));
  }
  std::string text() const override { return text_; }

 private:
  cluster::Options const options_;
  bool const client_works_;
  std::string const text_;
};

}  // namespace

PoolEngine mpi(MpiOptions const& options) {
  return detail::PoolEngineAccess::of(std::make_shared<MpiEngine const>(options));
}

bool MpiOptions::operator==(MpiOptions const& other) const {
  return detail::same_members(*this, other, mpi_options);
}

std::ostream& operator<<(std::ostream& out, MpiOptions const& options) {
  return out << detail::text_of_members(options, mpi_options);
}

std::ostream& operator<<(std::ostream& out, OnHostLost on_host_lost) {
  return out << detail::enum_text("OnHostLost", {"fail", "again"}, on_host_lost);
}

}  // namespace procpool::inline v0_1
