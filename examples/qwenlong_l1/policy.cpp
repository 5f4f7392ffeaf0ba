// SPDX-License-Identifier: Apache-2.0
#include "policy.hpp"

#include <ql/io/safetensors.hpp>

#include <algorithm>
#include <thread>

namespace ql::tool {

std::unique_ptr<policy> load_policy(const std::string& directory, const std::string& dtype, int threads) {
  const auto config = io::model_config::read(directory);
  ql::detail::expects(threads >= 0 && threads <= 1024, "qwenlong-l1", "--threads", "0 (all cores) to 1024", threads);
  if (threads == 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  ql::detail::expects(dtype == "auto" || dtype == "float" || dtype == "bf16", "qwenlong-l1", "--dtype",
                      "auto, float or bf16", dtype);
  const bool half =
      dtype == "bf16" ||
      (dtype == "auto" && io::checkpoint::open(directory).at("model.embed_tokens.weight").type == io::dtype::bf16);
  return half ? make_policy<bf16>(directory, config, threads) : make_policy<float>(directory, config, threads);
}

}  // namespace ql::tool
