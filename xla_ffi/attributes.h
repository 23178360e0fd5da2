// The attributes of the custom calls: what jax_npu/lowering/attributes.py writes.
//
// Each struct has a table that binds every attribute's name to its field, so that the
// order of fields means nothing. A name or type that differs, and an attribute too few
// or too many, are errors of the call.

#ifndef JAX_NPU_XLA_FFI_ATTRIBUTES_H_
#define JAX_NPU_XLA_FFI_ATTRIBUTES_H_

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "xla/ffi/api/ffi.h"

namespace jax_npu {

namespace ffi = ::xla::ffi;
using Int64s = ffi::Span<const int64_t>;
using Words = ffi::Span<const uint32_t>;

// An attribute's name and the field that takes its value.
template <typename Struct, typename T>
struct Attribute {
  using Type = T;
  std::string_view name;
  T Struct::* field;
};

template <typename Struct, typename T>
Attribute(const char*, T Struct::*) -> Attribute<Struct, T>;

template <typename SomeAttribute>
using TypeOf = typename std::remove_const_t<SomeAttribute>::Type;

// The attributes of a struct, as a tuple of Attribute.
template <typename Struct>
constexpr std::tuple<> kAttributes;

// The product that every GEMM computes, whatever the sizes of its arrays.
struct ProductAttributes {
  Int64s lhs, rhs, out;         // a label for each dimension, see Term
  Int64s lhs_parts, rhs_parts;  // see PartPairs
};

template <>
inline constexpr auto kAttributes<ProductAttributes> =
    std::tuple{Attribute{"lhs", &ProductAttributes::lhs},
               Attribute{"rhs", &ProductAttributes::rhs},
               Attribute{"out", &ProductAttributes::out},
               Attribute{"lhs_parts", &ProductAttributes::lhs_parts},
               Attribute{"rhs_parts", &ProductAttributes::rhs_parts}};

// The product whose lhs or rhs is packed, which has no batch. Its sizes decide how.
struct PackAttributes {
  Int64s lhs, rhs, out;  // as in ProductAttributes
  bool is_lhs;
  Int64s other_sizes;  // of the other operand
};

template <>
inline constexpr auto kAttributes<PackAttributes> = std::tuple{
    Attribute{"lhs", &PackAttributes::lhs}, Attribute{"rhs", &PackAttributes::rhs},
    Attribute{"out", &PackAttributes::out},
    Attribute{"is_lhs", &PackAttributes::is_lhs},
    Attribute{"other_sizes", &PackAttributes::other_sizes}};

// An NpuPlan and the instructions of its runs.
struct PlanAttributes {
  int64_t block_m, block_n, padded_k;
  int64_t m_multiple, n_multiple;  // see NpuPlan
  int64_t image_tile;              // side of the tiles in which A and B lie, 0 for rows
  bool a_k_is_rows, b_k_is_rows;   // see ImageLayout
  bool swapped;
  Int64s run_starts, run_grids;  // (runs, 3)
  Int64s run_num_words;          // (runs,)
  Words words;                   // of all runs, one after the other
};

template <>
inline constexpr auto kAttributes<PlanAttributes> =
    std::tuple{Attribute{"block_m", &PlanAttributes::block_m},
               Attribute{"block_n", &PlanAttributes::block_n},
               Attribute{"padded_k", &PlanAttributes::padded_k},
               Attribute{"m_multiple", &PlanAttributes::m_multiple},
               Attribute{"n_multiple", &PlanAttributes::n_multiple},
               Attribute{"image_tile", &PlanAttributes::image_tile},
               Attribute{"a_k_is_rows", &PlanAttributes::a_k_is_rows},
               Attribute{"b_k_is_rows", &PlanAttributes::b_k_is_rows},
               Attribute{"swapped", &PlanAttributes::swapped},
               Attribute{"run_starts", &PlanAttributes::run_starts},
               Attribute{"run_grids", &PlanAttributes::run_grids},
               Attribute{"run_num_words", &PlanAttributes::run_num_words},
               Attribute{"words", &PlanAttributes::words}};

// What a GEMM on an NPU takes beside the product.
struct NpuAttributes : ProductAttributes {
  PlanAttributes plan;
  PlanAttributes self_test;     // of one run, on a batch of two
  std::string_view device;      // npu1, npu2
  std::string_view design_key;  // of the design that the instructions are for
  std::string_view arithmetic;  // that the design was built for
  std::string_view check;       // see CheckMode
  bool strict, stand_ins;       // see CheckPolicy
};

template <>
inline constexpr auto kAttributes<NpuAttributes> =
    std::tuple_cat(kAttributes<ProductAttributes>,
                   std::tuple{Attribute{"plan", &NpuAttributes::plan},
                              Attribute{"self_test", &NpuAttributes::self_test},
                              Attribute{"device", &NpuAttributes::device},
                              Attribute{"design_key", &NpuAttributes::design_key},
                              Attribute{"arithmetic", &NpuAttributes::arithmetic},
                              Attribute{"check", &NpuAttributes::check},
                              Attribute{"stand_ins", &NpuAttributes::stand_ins},
                              Attribute{"strict", &NpuAttributes::strict}});

template <typename T>
constexpr bool kIsStruct = std::tuple_size_v<decltype(kAttributes<T>)> != 0;

// The type as which XLA passes an attribute: a nested struct is a dictionary.
template <typename T>
using Passed = std::conditional_t<kIsStruct<T>, ffi::Dictionary, T>;

// Lets XLA pass the attributes of a struct to a handler, in the table's order. XLA
// looks their names up once for a program, so that a call does not search for them.
template <typename Struct, size_t i = 0, typename Binding>
auto BindAttributes(Binding&& binding) {
  constexpr auto kAttribute = std::get<i>(kAttributes<Struct>);
  const auto bind = [&] {
    return std::forward<Binding>(binding)
        .template Attr<Passed<TypeOf<decltype(kAttribute)>>>(
            std::string(kAttribute.name));
  };
  if constexpr (i + 1 == std::tuple_size_v<decltype(kAttributes<Struct>)>) {
    return bind();
  } else {
    return BindAttributes<Struct, i + 1>(bind());
  }
}

template <typename Struct>
Struct DecodeAttributes(const ffi::Dictionary& dictionary);

template <typename T>
T Unpack(const Passed<T>& passed) {
  if constexpr (kIsStruct<T>) {
    return DecodeAttributes<T>(passed);
  } else {
    return passed;
  }
}

// Puts the values that XLA passes after BindAttributes into the struct. Throws what
// DecodeAttributes throws for a nested one.
template <typename Struct, typename... Values>
Struct CollectAttributes(const Values&... values) {
  Struct collected{};
  std::apply(
      [&](const auto&... attribute) {
        ((collected.*attribute.field =
              Unpack<TypeOf<std::decay_t<decltype(attribute)>>>(values)),
         ...);
      },
      kAttributes<Struct>);
  return collected;
}

// Decodes a nested struct. Throws std::invalid_argument where names or types are not
// those of the struct.
template <typename Struct>
Struct DecodeAttributes(const ffi::Dictionary& dictionary) {
  Struct decoded{};
  const auto decode = [&](const auto& attribute) {
    using T = TypeOf<std::decay_t<decltype(attribute)>>;
    ffi::ErrorOr<Passed<T>> value = dictionary.get<Passed<T>>(attribute.name);
    if (value.has_error()) {
      throw std::invalid_argument("attribute " + std::string(attribute.name) + ": " +
                                  value.error().message());
    }
    decoded.*attribute.field = Unpack<T>(*value);
  };
  std::apply(
      [&](const auto&... attribute) {
        if (dictionary.size() != sizeof...(attribute)) {
          throw std::invalid_argument(std::to_string(sizeof...(attribute)) +
                                      " attributes are needed, got " +
                                      std::to_string(dictionary.size()));
        }
        (decode(attribute), ...);
      },
      kAttributes<Struct>);
  return decoded;
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_ATTRIBUTES_H_
