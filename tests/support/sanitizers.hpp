// SPDX-License-Identifier: Apache-2.0
#pragma once

// QL_TEST_SANITIZED: the address or thread sanitizer watches this build (g++ and clang say so in different ways).
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define QL_TEST_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define QL_TEST_SANITIZED
#endif
#endif
