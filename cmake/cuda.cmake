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
      "attention_keys_dx_${_t}_${_chunks} body/attention attention_keys_dx_body<${_t},${_chunks},false> attention_keys_dx_body<${_t},${_chunks},true>"
      "attention_queries_dx_${_t}_${_chunks} body/attention attention_queries_dx_body<${_t},${_chunks}>")
  endforeach()
endforeach()
list(
  APPEND
  QL_CUDA_INSTANCES
  "rows body/rows element_body<embed_dw_element> rms_norm_dx_body element_body<column_element> element_body<fold_element> squares_body element_body<return_keys_element> element_body<round_rows_element<bf16>> element_body<finish_product_element<float>> element_body<finish_product_element<bf16>>"
  "losses body/loss element_body<loss_element<rl::clip>> element_body<loss_element<rl::dual_clip>> element_body<loss_element<rl::reinforce>>"
  "draws body/draws element_body<draw_element> element_body<draw_sorted_element>"
  "vocabulary body/vocabulary element_body<start_row_element> log_sum_exp_body element_body<pick_target_element> element_body<pick_support_element> element_body<finish_rows_element> element_body<exp_sums_element> element_body<logits_dx_element> element_body<support_dx_element>")

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

# ql_cuda_kernels(): the library of the device's kernels and runtime calls. nvcc's report of each file (registers, spills)
# stays beside its object for tests/cuda/registers.py.
function(ql_cuda_kernels)
  set(folder "${PROJECT_BINARY_DIR}/cuda")
  ql_cuda_instances(sources "${folder}" cu launch.cuh device)
  set(code)
  foreach(architecture IN LISTS QL_CUDA_ARCHITECTURES)
    list(APPEND code -gencode "arch=compute_${architecture},code=sm_${architecture}")
  endforeach()
  set(objects)
  # sort.cu calls CUB and Thrust, whose kernels are not held to ql's budget of registers.
  foreach(source IN LISTS sources ITEMS "${PROJECT_SOURCE_DIR}/src/cuda/sort.cu")
    get_filename_component(name "${source}" NAME_WE)
    set(object "${folder}/${name}.o")
    set(report -Xptxas -v,-warn-spills,-warn-lmem-usage)
    if(name STREQUAL "sort")
      set(report)
    endif()
    # -fmad=false -ftz=true: docs/numerics.md, section 2
    set(command
        "${QL_NVCC}" -std=c++20 -O3 --expt-relaxed-constexpr -fmad=false -ftz=true -prec-div=true -prec-sqrt=true ${code}
        -Werror all-warnings ${report} -Xcompiler -fPIC -ccbin "${CMAKE_CXX_COMPILER}"
        "-I${PROJECT_SOURCE_DIR}/include" -MD -MT "${object}" -MF "${object}.d" -c "${source}" -o "${object}")
    list(JOIN command "' '" command)
    add_custom_command(
      OUTPUT "${object}"
      COMMAND sh -c "'${command}' > '${folder}/${name}.txt' 2>&1 || { cat '${folder}/${name}.txt'; exit 1; }"
      DEPENDS "${source}"
      DEPFILE "${object}.d"
      COMMENT "Compiling ${name}.cu"
      VERBATIM)
    list(APPEND objects "${object}")
  endforeach()
  set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  add_library(ql_cuda_kernels STATIC "${PROJECT_SOURCE_DIR}/src/cuda/device.cpp" ${objects})
  add_library(ql::cuda_kernels ALIAS ql_cuda_kernels)
  set_target_properties(
    ql_cuda_kernels PROPERTIES EXPORT_NAME cuda_kernels CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON LINKER_LANGUAGE CXX)
  # the static runtime looks for the driver when it is asked: a program starts without one
  target_link_libraries(ql_cuda_kernels PUBLIC ql_core CUDA::cudart_static PRIVATE $<BUILD_INTERFACE:ql_dev>)
endfunction()
