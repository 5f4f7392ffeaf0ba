// SPDX-License-Identifier: Apache-2.0
#pragma once

// Self-signed certificates for the loopback, made by OpenSSL's library when the test runs.

#include "support/data.hpp"

#ifdef QL_TEST_OPENSSL
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#endif

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>

namespace ql::test {

#ifdef QL_TEST_OPENSSL

class tls_identity {
 public:
  // `name` is a subject alternative name such as "IP:127.0.0.1"; the certificate is also written to `pem`.
  tls_identity(const std::string& name, const std::filesystem::path& pem) {
    std::signal(SIGPIPE, SIG_IGN);  // the server's own writes
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("ql test"), -1, -1,
                               0);
    X509_set_issuer_name(certificate, subject);
    for (const auto& [kind, value] :
         {std::pair<int, std::string>{NID_subject_alt_name, name}, {NID_basic_constraints, "critical,CA:TRUE"}}) {
      X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
      X509_add_ext(certificate, e, -1);
      X509_EXTENSION_free(e);
    }
    X509_sign(certificate, key, EVP_sha256());
    context_ = SSL_CTX_new(TLS_server_method());
    const bool usable =
        SSL_CTX_use_certificate(context_, certificate) == 1 && SSL_CTX_use_PrivateKey(context_, key) == 1;
    std::FILE* file = std::fopen(pem.c_str(), "w");
    const bool written = file != nullptr && PEM_write_X509(file, certificate) == 1;
    if (file != nullptr) std::fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
    if (!usable || !written) fail("OpenSSL makes no certificate");
  }
  ~tls_identity() { SSL_CTX_free(context_); }
  tls_identity(const tls_identity&) = delete;
  tls_identity& operator=(const tls_identity&) = delete;
  void* context() const { return context_; }

 private:
  SSL_CTX* context_ = nullptr;
};

#else

struct tls_identity {
  tls_identity(const std::string&, const std::filesystem::path&) {
    skip("no certificate can be made: OpenSSL was not found (Debian: libssl-dev)");
  }
  void* context() const { return nullptr; }
};

#endif

}  // namespace ql::test
