// --accounting tinytl: the bill of the TinyTL paper beside the bytes of the plan.
#pragma once

#include "tinytl/cli/report.h"
#include "tinytl/methods/paper_accounting.h"

namespace tinytl::cli {

// --network: of the network as the paper has it (paper_form), with group norms. Lite modules are
// part of ProxylessNAS-Mobile under every method, because the authors pretrained it with them, and
// of the others where the method trains them. --model: of the network as it is planned, norms
// folded. Throws InputError.
PaperBill paper_bill_of(const MethodArguments& args, int64_t classes);

void print_paper_bill(const PaperBill& bill, int64_t batch_size);
void add_paper_bill(Json& report, const PaperBill& bill);

}  // namespace tinytl::cli
