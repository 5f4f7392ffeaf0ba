/* SPDX-License-Identifier: Apache-2.0
 * Preloaded into the peers on CPUs of other vendors than Intel: MKL then chooses its kernels by instruction set
 * (AVX-512) instead of falling back by vendor. It makes the peer faster; torch_peer.py --stock leaves it out. */
int mkl_serv_intel_cpu_true(void) { return 1; }
