// SPDX-License-Identifier: Apache-2.0
#include <ql/error.hpp>

int main() {}
