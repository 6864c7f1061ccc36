// Picks a table of vector kernels at run time.
#include "engine/kernels/simd/simd.h"

#include "engine/kernels/simd/targets.h"
#include "hwy/highway.h"
#include "hwy/targets.h"

namespace tinytl {
namespace {

// Of the instruction set that Highway has chosen.
tt_kernels table() {
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  tt_kernels table = tt_portable_kernels;
  add_products(table);
  add_depthwise(table);
  add_maps(table);
  add_layers(table);
  add_integers(table);
  return table;
}

std::vector<tt_kernels> all_tables() {
  std::vector<tt_kernels> tables;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    tt_kernels one = table();
    if (one.gemm != tt_portable_kernels.gemm) tables.push_back(one);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  return tables;
}

}  // namespace

std::vector<const tt_kernels*> simd_kernel_sets() {
  static const std::vector<tt_kernels> kTables = all_tables();
  std::vector<const tt_kernels*> sets;
  for (const tt_kernels& table : kTables) sets.push_back(&table);
  return sets;
}

}  // namespace tinytl

const tt_kernels* tt_best_kernels() {
  static const tt_kernels kBest = tinytl::table();
  return &kBest;
}
