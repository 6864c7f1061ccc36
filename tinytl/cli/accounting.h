// --accounting: the bill of a paper beside the bytes of the plan.
#pragma once

#include "sparse_update/mcunetv3_bill.h"
#include "tinytl/cli/report.h"
#include "tinytl/methods/paper_accounting.h"

namespace tinytl::cli {

// --accounting tinytl.
//
// --network: of the network as the paper has it (paper_form), with group norms. Lite modules are
// part of ProxylessNAS-Mobile under every method, because the authors pretrained it with them, and
// of the others where the method trains them. --model: of the network as it is planned, norms
// folded. Throws InputError.
PaperBill paper_bill_of(const MethodArguments& args, int64_t classes);

void print_paper_bill(const PaperBill& bill, int64_t batch_size);
void add_paper_bill(Json& report, const PaperBill& bill);

// --accounting mcunetv3: of the network as it is planned, for one image. Throws InputError, and
// CLI::ValidationError for an update with lite residual modules.
Mcunetv3Bill mcunetv3_bill_of(const MethodArguments& args, int64_t classes);

void print_mcunetv3_bill(const Mcunetv3Bill& bill);
void add_mcunetv3_bill(Json& report, const Mcunetv3Bill& bill);

}  // namespace tinytl::cli
