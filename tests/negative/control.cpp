// SPDX-License-Identifier: Apache-2.0
// expect: this line must not compile
// max-lines: 3
// The control of the harness: if this passes for a wrong reason, nothing beside it can be trusted.
int main() {
#ifdef QL_NEGATIVE
  static_assert(sizeof(int) == 0, "this line must not compile");
#endif
  return 0;
}
