#include "tinytl/cli/scheme_argument.h"

#include "sparse_update/resolve.h"

namespace tinytl::cli {

SchemeFile scheme_of(const MethodArguments& args) {
  constexpr std::string_view kLast = "last:";
  constexpr size_t kMostDigits = 4;
  if (!args.scheme.starts_with(kLast)) return read_scheme(args.scheme);
  const std::string digits = args.scheme.substr(kLast.size());
  if (digits.empty() || digits.size() > kMostDigits ||
      digits.find_first_not_of("0123456789") != std::string::npos) {
    throw InputError("--scheme " + args.scheme +
                     ": last: takes how many layers train, as last:6, from the last one back");
  }
  return {.source = "--scheme " + args.scheme,
          .train = {{.kind = SchemeEntry::Kind::kLastLayers, .number = std::stoll(digits)}}};
}

UpdateScheme update_scheme_of(const MethodArguments& args, const FittedClassifier& network) {
  const Update update = update_of(args);
  if (update != Update::kSparse) return make_scheme(network, update);
  return resolve(scheme_of(args), network.graph, network.parameters);
}

UpdateScheme moved_to(const Graph& form, const Graph& network, UpdateScheme scheme) {
  for (TrainedParameter& p : scheme.parameters) {
    p.parameter = form.id_of(network.value(p.parameter).name);
  }
  return scheme;
}

}  // namespace tinytl::cli
