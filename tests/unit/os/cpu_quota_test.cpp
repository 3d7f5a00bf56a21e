// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How many CPUs quotas leave, on systems of every kind.
#include "os/cpu_quota.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <procpool/cpu_count.hpp>

#include <map>
#include <thread>

namespace {

namespace os = procpool::os;

using Files = std::map<std::string, std::string>;

unsigned count(unsigned affinity, std::string const& cgroup, std::string const& mounts,
               Files const& files) {
  return os::cpu_count_from(affinity, cgroup, mounts,
                            [&](std::string const& path) -> std::optional<std::string> {
                              auto const found = files.find(path);
                              if (found == files.end()) return std::nullopt;
                              return found->second;
                            });
}

std::string const v2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
std::string const v1 = "31 23 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
                       "32 31 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                       "33 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";

TEST(OsCpuQuota, NoLimitsLeaveTheAffinity) {
  EXPECT_EQ(count(8, "0::/\n", v2, {}), 8U);
  EXPECT_EQ(count(8, "0::/a\n", v2, {{"/sys/fs/cgroup/a/cpu.max", "max 100000\n"}}), 8U);
  EXPECT_EQ(count(8, "", "", {}), 8U);
  EXPECT_EQ(count(0, "", "", {}), 1U);
}

TEST(OsCpuQuota, Version2RoundsUp) {
  auto const with = [&](std::string const& text) {
    return count(8, "0::/a\n", v2, {{"/sys/fs/cgroup/a/cpu.max", text}});
  };
  EXPECT_EQ(with("200000 100000\n"), 2U);
  EXPECT_EQ(with("200001 100000\n"), 3U);
  EXPECT_EQ(with("150000 100000\n"), 2U);
  EXPECT_EQ(with("1000 100000\n"), 1U);
  EXPECT_EQ(with("9900000 100000\n"), 8U);
  EXPECT_EQ(with("18446744073709551615 1\n"), 8U);
}

TEST(OsCpuQuota, AncestorsCount) {
  Files const files{{"/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n"},
                    {"/sys/fs/cgroup/a/b/cpu.max", "600000 100000\n"},
                    {"/sys/fs/cgroup/a/cpu.max", "300000 100000\n"}};
  EXPECT_EQ(count(8, "0::/a/b/c\n", v2, files), 3U);
  EXPECT_EQ(count(8, "0::/other\n", v2, files), 8U);
  // In a namespace the mount's own root may be limited.
  EXPECT_EQ(count(8, "0::/a\n", v2, {{"/sys/fs/cgroup/cpu.max", "400000 100000"}}), 4U);
  EXPECT_EQ(count(8, "0::/\n", v2, {{"/sys/fs/cgroup/cpu.max", "400000 100000"}}), 4U);
}

TEST(OsCpuQuota, Version1) {
  std::string const cgroup = "4:cpuset:/\n3:cpu,cpuacct:/job:7/x\n1:name=systemd:/a\n0::/\n";
  std::string const folder = "/sys/fs/cgroup/cpu,cpuacct/job:7";
  EXPECT_EQ(count(8, cgroup, v1,
                  {{folder + "/x/cpu.cfs_quota_us", "-1\n"},
                   {folder + "/x/cpu.cfs_period_us", "100000\n"},
                   {folder + "/cpu.cfs_quota_us", "250000\n"},
                   {folder + "/cpu.cfs_period_us", "100000\n"}}),
            3U);
  EXPECT_EQ(count(8, cgroup, v1, {{folder + "/cpu.cfs_quota_us", "250000\n"}}), 8U)
      << "a quota without a period says nothing";
  EXPECT_EQ(count(8, "3:cpuset:/job\n", v1,
                  {{"/sys/fs/cgroup/cpuset/job/cpu.cfs_quota_us", "100000"},
                   {"/sys/fs/cgroup/cpuset/job/cpu.cfs_period_us", "100000"}}),
            8U)
      << "another controller's folder";
}

TEST(OsCpuQuota, BothVersionsAtOnce) {
  EXPECT_EQ(count(8, "3:cpu,cpuacct:/\n0::/u\n", v1 + v2,
                  {{"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "500000"},
                   {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000"},
                   {"/sys/fs/cgroup/u/cpu.max", "600000 100000"}}),
            5U);
}

TEST(OsCpuQuota, ContainersWithoutANamespace) {
  // The host's path, and only that cgroup mounted.
  std::string const mounts =
      "50 40 0:28 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";
  Files const files{{"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000"},
                    {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"},
                    {"/sys/fs/cgroup/cpu/sub/cpu.cfs_quota_us", "100000"},
                    {"/sys/fs/cgroup/cpu/sub/cpu.cfs_period_us", "100000"}};
  EXPECT_EQ(count(8, "3:cpu:/docker/abc\n", mounts, files), 2U);
  EXPECT_EQ(count(8, "3:cpu:/docker/abc/sub\n", mounts, files), 1U);
  EXPECT_EQ(count(8, "3:cpu:/docker/abcd\n", mounts, files), 2U) << "outside: the mount's root";
  EXPECT_EQ(count(8, "3:cpu:/\n", mounts, files), 2U);
  Files const root{{"/sys/fs/cgroup/cpu.max", "200000 100000"}};
  EXPECT_EQ(count(8, "0::/../../host/part\n", v2, root), 2U) << "outside of the namespace";
  EXPECT_EQ(count(8, "0::/..\n", v2, root), 2U);
}

TEST(OsCpuQuota, TheMountThatHoldsThePathIsTaken) {
  std::string const mounts = "50 40 0:26 /stranger /mnt/other rw - cgroup2 cgroup2 rw\n" + v2;
  Files const files{{"/mnt/other/cpu.max", "100000 100000"},
                    {"/sys/fs/cgroup/mine/cpu.max", "300000 100000"}};
  EXPECT_EQ(count(8, "0::/mine\n", mounts, files), 3U);
}

TEST(OsCpuQuota, EscapedMountPoints) {
  EXPECT_EQ(count(8, "0::/a\n", "30 23 0:26 / /my\\040cgroup rw - cgroup2 cgroup2 rw\n",
                  {{"/my cgroup/a/cpu.max", "200000 100000"}}),
            2U);
  EXPECT_EQ(count(8, "0::/a\n", "30 23 0:26 / /odd\\04 rw - cgroup2 cgroup2 rw\n",
                  {{"/odd\\04/a/cpu.max", "200000 100000"}}),
            2U);
}

TEST(OsCpuQuota, MalformedFilesSayNothing) {
  for (std::string const text :
       {"", "\n", " ", "max", "200000", "0 100000", "200000 0", "-5 100000", "200000 -1",
        "2e5 100000", "x y", "200000x 100000", "99999999999999999999999 100000"}) {
    EXPECT_EQ(count(8, "0::/a\n", v2, {{"/sys/fs/cgroup/a/cpu.max", text}}), 8U) << text;
  }
  for (std::string const cgroup :
       {"0", "0:", "0::", "0::relative", ":::", "garbage\n\n", "3:cpu", "0::/a"}) {
    EXPECT_EQ(count(8, cgroup, v2, {}), 8U) << cgroup;
  }
  for (std::string const mounts :
       {"-", "- cgroup2", "1 2 3 / /x - cgroup2 a b", "30 23 0:26 / /p rw -",
        "30 23 0:26 / /p rw - cgroup2", "30 23 0:26 / /p rw - cgroup cgroup", "\n\n\n"}) {
    EXPECT_EQ(count(8, "0::/a\n3:cpu:/a\n", mounts, {}), 8U) << mounts;
  }
}

TEST(OsCpuCount, IsWithinTheAffinity) {
  unsigned const all = procpool::cpu_count();
  EXPECT_GE(all, 1U);
  EXPECT_LE(all, std::thread::hardware_concurrency());
  std::thread pinned([] {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(::sched_getcpu(), &mask);
    ASSERT_EQ(::sched_setaffinity(0, sizeof mask, &mask), 0);
    EXPECT_EQ(procpool::cpu_count(), 1U);
  });
  pinned.join();
}

}  // namespace
