// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The kind of this build, for tests that cost more under a sanitizer.

namespace support {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SUPPORT_ADDRESS_SANITIZER
#endif
#if __has_feature(thread_sanitizer)
#define SUPPORT_THREAD_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SUPPORT_ADDRESS_SANITIZER
#endif
#if defined(__SANITIZE_THREAD__)
#define SUPPORT_THREAD_SANITIZER
#endif

#if defined(SUPPORT_THREAD_SANITIZER)
inline constexpr bool thread_sanitized = true;
#else
inline constexpr bool thread_sanitized = false;
#endif
#if defined(SUPPORT_ADDRESS_SANITIZER)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = thread_sanitized;
#endif

#if defined(__OPTIMIZE__)
inline constexpr bool optimized = true;
#else
inline constexpr bool optimized = false;
#endif

// A number of rounds: all of them in a plain build, fewer where everything takes longer.
constexpr int rounds(int plain, int slow) { return sanitized || !optimized ? slow : plain; }

}  // namespace support
