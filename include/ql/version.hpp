// SPDX-License-Identifier: Apache-2.0
#pragma once

// The version of ql; CMake reads it from here.
#define QL_VERSION_MAJOR 0
#define QL_VERSION_MINOR 1
#define QL_VERSION_PATCH 0
