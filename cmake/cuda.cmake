# SPDX-License-Identifier: Apache-2.0
# The kernel bodies of the CUDA backend, file by file: what nvcc compiles for a device, and the C++ compiler for the
# emulation that tests run. A .cu file should take no more than 8 CPU seconds.
set(QL_CUDA_INSTANCES)
foreach(_t IN ITEMS float bf16)
  list(
    APPEND
    QL_CUDA_INSTANCES
    "forward_product_${_t} body/product forward_product<${_t}>"
    "gradient_products_${_t} body/product input_product<${_t}> weight_product<${_t}>"
    "rows_${_t} body/rows element_body<embed_element<${_t}>> rms_norm_body<${_t}> element_body<swiglu_element<${_t}>> element_body<swiglu_dx_element<${_t}>> element_body<round_element<${_t}>> element_body<pack_element<${_t}>> element_body<adamw_element<${_t}>> element_body<sgd_element<${_t}>> element_body<gather_element<${_t}>> element_body<copy_keys_element<${_t}>>"
    "attention_rows_${_t} body/attention attention_combine_body<${_t}> delta_body<${_t}> rotary_body<${_t}> element_body<rotary_dx_element<${_t}>>")
  foreach(_chunks IN ITEMS 1 2)
    list(
      APPEND
      QL_CUDA_INSTANCES
      "attention_forward_${_t}_${_chunks} body/attention attention_forward_body<${_t},${_chunks}>"
      "attention_keys_dx_${_t}_${_chunks} body/attention attention_keys_dx_body<${_t},${_chunks}>"
      "attention_queries_dx_${_t}_${_chunks} body/attention attention_queries_dx_body<${_t},${_chunks}>")
  endforeach()
endforeach()
list(
  APPEND
  QL_CUDA_INSTANCES
  "rows body/rows element_body<embed_dw_element> rms_norm_dx_body element_body<column_element> element_body<fold_element> squares_body element_body<return_keys_element>"
  "vocabulary body/vocabulary element_body<start_row_element> log_sum_exp_body element_body<pick_target_element> element_body<pick_support_element> element_body<finish_rows_element> element_body<exp_sums_element> element_body<logits_dx_element> element_body<support_dx_element> element_body<draw_element>")

# ql_cuda_instances(<variable> <folder> <extension> <header> <device>): writes one small file for each line of
# QL_CUDA_INSTANCES that instantiates <device>::launch of its bodies, and puts the files' names into <variable>.
function(ql_cuda_instances variable folder extension header device)
  set(files)
  foreach(line IN LISTS QL_CUDA_INSTANCES)
    string(REPLACE " " ";" bodies "${line}")
    list(POP_FRONT bodies name body_header)
    set(text "// SPDX-License-Identifier: Apache-2.0\n#include <ql/backend/cuda/${header}>\n#include <ql/backend/cuda/${body_header}.hpp>\n")
    string(APPEND text "\nnamespace ql::cuda {\n")
    foreach(body IN LISTS bodies)
      string(APPEND text "template void ${device}::launch<${body}>(const launch_shape&, const ${body}::arguments&);\n")
    endforeach()
    string(APPEND text "}  // namespace ql::cuda\n")
    file(GENERATE OUTPUT "${folder}/${name}.${extension}" CONTENT "${text}")
    list(APPEND files "${folder}/${name}.${extension}")
  endforeach()
  set(${variable} "${files}" PARENT_SCOPE)
endfunction()
