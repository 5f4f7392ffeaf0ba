// SPDX-License-Identifier: Apache-2.0
#include <ql/reflect.hpp>

#include "io/folder.hpp"

#include <gtest/gtest.h>

namespace {

enum class mode { repo, strict };
struct clip {
  double low = 0.2, high = 0.28;
};
struct nothing {};
struct phase {
  std::int64_t length = 0;
  std::optional<std::int32_t> steps;
};
struct config {
  std::string name = "demo";
  bool exact = true;
  std::uint8_t lanes = 8;
  mode rules = mode::strict;
  std::variant<nothing, clip> loss;
  std::vector<phase> phases{{128, 40}, {256, {}}};
  std::array<double, 2> betas{0.9, 0.95};
  phase last;
};

}  // namespace

template <>
inline constexpr auto ql::names<mode> = ql::enumerators<mode>({{"repo", mode::repo}, {"strict", mode::strict}});
template <>
inline constexpr auto ql::members<nothing> = ql::fields();
template <>
inline constexpr auto ql::members<clip> = ql::fields(ql::field("low", &clip::low, "lower bound of the ratio"),
                                                     ql::field("high", &clip::high, "upper bound of the ratio"));
template <>
inline constexpr std::string_view ql::kind<nothing> = "plain";
template <>
inline constexpr std::string_view ql::kind<clip> = "clip";
template <>
inline constexpr auto ql::members<phase> =
    ql::fields(ql::field("length", &phase::length), ql::field("steps", &phase::steps));
template <>
inline constexpr auto ql::members<config> = ql::fields(
    ql::field("name", &config::name), ql::field("exact", &config::exact), ql::field("lanes", &config::lanes),
    ql::field("rules", &config::rules), ql::field("loss", &config::loss), ql::field("phases", &config::phases),
    ql::field("betas", &config::betas), ql::field("last", &config::last, "the phase after all"));

namespace {
struct ruled {
  double share = 0.5;
  constexpr void validate(ql::rl::rule_book& b) const {
    b.require(share >= 0 && share <= 1, "ruled.share", share, "in [0, 1]", "use 0.5");
  }
};
struct two {
  ruled a, b;
};
struct ruled_config {
  two parts;
};
}  // namespace
template <>
inline constexpr auto ql::members<ruled> = ql::fields(ql::field("share", &ruled::share));
template <>
inline constexpr auto ql::members<two> = ql::fields(ql::field("a", &two::a), ql::field("b", &two::b));
template <>
inline constexpr auto ql::members<ruled_config> = ql::fields(ql::field("parts", &ruled_config::parts));

namespace {

using ql::io::json::parse;

static_assert(ql::detail::arity<config> == 8 && ql::detail::arity<nothing> == 0 && ql::detail::arity<phase> == 2);
static_assert(ql::reflected<clip> && !ql::reflected<std::string>);

TEST(Reflect, TreeAndTextHoldEveryLeaf) {
  config c;
  c.loss = clip{};
  EXPECT_EQ(ql::to_text(c),
            "name = \"demo\"\nexact = true\nlanes = 8\nrules = \"strict\"\nloss.kind = \"clip\"\nloss.low = 0.2\n"
            "loss.high = 0.28\nphases[0].length = 128\nphases[0].steps = 40\nphases[1].length = 256\n"
            "phases[1].steps = null\nbetas[0] = 0.9\nbetas[1] = 0.95\nlast.length = 0\nlast.steps = null\n");
  config back;
  EXPECT_TRUE(ql::from_tree(ql::to_tree(c), back).empty());
  EXPECT_EQ(ql::to_text(back), ql::to_text(c));
}

TEST(Reflect, TakesWhatIsThereAndKeepsTheRest) {
  config c;
  EXPECT_TRUE(ql::from_tree(
                  parse(R"({"lanes": 4, "loss": {"kind": "clip", "high": 0.3}, "rules": "repo", "betas": [0, 1]})"), c)
                  .empty());
  EXPECT_EQ(c.lanes, 4);
  EXPECT_EQ(c.rules, mode::repo);
  EXPECT_EQ(std::get<clip>(c.loss).high, 0.3);
  EXPECT_EQ(std::get<clip>(c.loss).low, 0.2);
  EXPECT_EQ(c.betas[0], 0);
  EXPECT_EQ(c.phases.size(), 2u);
  EXPECT_TRUE(ql::from_tree(parse(R"({"loss": "plain", "phases": []})"), c).empty());
  EXPECT_EQ(c.loss.index(), 0u);
  EXPECT_TRUE(c.phases.empty());
}

TEST(Reflect, ReportsAllProblemsAtOnce) {
  config c;
  const auto problems = ql::from_tree(parse(R"({
    "nmae": "x", "exact": 1, "lanes": 256, "rules": "strickt", "loss": {"kind": "clip", "hihg": 1},
    "phases": [{"length": "long"}], "betas": [1], "wholly different": 0, "last": 7})"),
                                      c);
  EXPECT_EQ(
      ql::io::text_of(problems),
      "exact: expected true or false, got 1\n"
      "lanes: expected an integer from 0 to 255, got 256\n"
      "rules: expected one of \"repo\", \"strict\", got \"strickt\"; did you mean \"strict\"?\n"
      "loss.hihg: unknown key; did you mean \"high\"?\n"
      "phases[0].length: expected an integer, got \"long\"\n"
      "betas: expected a list of 2, got a list\n"
      "last: expected a table, got 7\n"
      "nmae: unknown key; did you mean \"name\"?\n"
      "wholly different: unknown key; known here: \"name\", \"exact\", \"lanes\", \"rules\", \"loss\", \"phases\", "
      "\"betas\", \"last\"\n");
  EXPECT_EQ(ql::from_tree(parse(R"({"loss": "clap"})"), c)[0].text(),
            "loss: expected one of \"plain\", \"clip\", got \"clap\"; did you mean \"clip\"?");
  EXPECT_EQ(ql::from_tree(parse(R"({"lanes": -1})"), c).size(), 1u);
  EXPECT_EQ(ql::from_tree(parse(R"({"lanes": 1.0})"), c).size(), 1u);
}

TEST(Reflect, SetsOneMemberByItsKey) {
  config c;
  ql::set(c, "phases[1].steps", "40");
  ql::set(c, "name", "a b");
  ql::set(c, "loss", "clip");
  ql::set(c, "loss.low", "0.1");
  ql::set(c, "phases[0].steps", "none");
  EXPECT_EQ(c.phases[1].steps, 40);
  EXPECT_FALSE(c.phases[0].steps);
  EXPECT_EQ(c.name, "a b");
  EXPECT_EQ(std::get<clip>(c.loss).low, 0.1);
  QL_EXPECT_MESSAGE(ql::set(c, "lanes", "many"), ql::argument_error,
                    "lanes: expected an integer from 0 to 255, got \"many\"");
  QL_EXPECT_MESSAGE(ql::set(c, "loss.lo", "1"), ql::argument_error, "did you mean \"low\"?");
  QL_EXPECT_MESSAGE(ql::set(c, "phases[3].steps", "1"), ql::io::format_error, "would leave a gap");
  QL_EXPECT_MESSAGE(ql::set(c, "name.first", "1"), ql::io::format_error, "below a plain value");
  QL_EXPECT_MESSAGE(ql::set(c, "phases[x]", "1"), ql::io::format_error, "a wrong index");
  QL_EXPECT_MESSAGE(ql::set(c, "", "1"), ql::io::format_error, "it is empty");
  EXPECT_EQ(c.lanes, 8);
}

TEST(Reflect, DifferencesNameTheFirstKey) {
  config a, b;
  EXPECT_TRUE(ql::differences(a, b).empty());
  EXPECT_EQ(ql::hash_of(a), ql::hash_of(b));
  b.lanes = 4;
  b.phases.push_back({512, 3});
  const auto d = ql::differences(a, b);
  ASSERT_EQ(d.size(), 3u);
  EXPECT_EQ(d[0], (ql::io::difference{"lanes", "8", "4"}));
  EXPECT_EQ(d[1], (ql::io::difference{"phases[2].length", "(absent)", "512"}));
  EXPECT_NE(ql::hash_of(a), ql::hash_of(b));
}

TEST(Reflect, EveryMemberCountsForTheHash) {
  const config base;
  std::vector<ql::io::digest> seen{ql::hash_of(base)};
  for (const auto& [key, text] : std::vector<std::pair<std::string, std::string>>{{"name", "x"},
                                                                                  {"exact", "false"},
                                                                                  {"lanes", "1"},
                                                                                  {"rules", "repo"},
                                                                                  {"loss", "clip"},
                                                                                  {"phases[0].length", "1"},
                                                                                  {"phases[1].steps", "1"},
                                                                                  {"betas[1]", "0"},
                                                                                  {"last.length", "1"}}) {
    config c;
    ql::set(c, key, text);
    const auto h = ql::hash_of(c);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), h), 0) << key;
    EXPECT_EQ(ql::differences(base, c).at(0).key.substr(0, 4), key.substr(0, 4));
    seen.push_back(h);
  }
}

TEST(Reflect, Describes) {
  const auto notes = ql::describe<config>();
  ASSERT_EQ(notes.size(), 10u);
  EXPECT_EQ(notes[7].key, "last");
  EXPECT_EQ(notes[7].about, "the phase after all");
  EXPECT_EQ(notes[8].key, "last.length");
  EXPECT_EQ(notes[2].value, "8");
}

TEST(Reflect, RefusesWhatNoFileCanHold) {
  EXPECT_THROW(ql::to_tree(std::uint64_t{1} << 63), ql::argument_error);
  EXPECT_EQ(ql::to_tree((std::uint64_t{1} << 63) - 1).integer(), std::numeric_limits<std::int64_t>::max());
}

constexpr const char* recipe = R"(name = "demo"
lanse = 4
rules = "strickt"

[loss]
kind = "clip"
low = "small"

[[phases]]
length = 128

[[phases]]
length = 1.5
)";

TEST(Reflect, AFileAndSettingsGiveAllProblemsWithTheirPlaces) {
  const auto c =
      ql::configure<config>(ql::io::toml::parse(recipe, "r.toml"), {"exact=maybe", "nothing", "last.stpes=1"});
  EXPECT_EQ(ql::io::text_of(c.problems),
            "--set nothing: expected key=value, such as --set train.seed=2\n"
            "--set: exact: expected true or false, got \"maybe\"\n"
            "r.toml:3:1: rules: expected one of \"repo\", \"strict\", got \"strickt\"; did you mean \"strict\"?\n"
            "r.toml:7:1: loss.low: expected a number, got \"small\"\n"
            "r.toml:13:1: phases[1].length: expected an integer, got 1.5\n"
            "--set: last.stpes: unknown key; did you mean \"steps\"?\n"
            "r.toml:2:1: lanse: unknown key; did you mean \"lanes\"?\n");
}

TEST(Reflect, TheResolvedConfigurationReadsBack) {
  const auto c = ql::configure<config>(ql::io::toml::parse("lanes = 4\n[loss]\nkind = \"clip\"\n", "r.toml"),
                                       {"last.length=7", "name=a=b"});
  ASSERT_TRUE(c.problems.empty()) << ql::io::text_of(c.problems);
  EXPECT_EQ(c.value.last.length, 7);
  EXPECT_EQ(c.value.name, "a=b");
  EXPECT_EQ(c.value.lanes, 4);
  const std::string printed = ql::to_toml(c.value);
  const auto again = ql::configure<config>(ql::io::toml::parse(printed));
  ASSERT_TRUE(again.problems.empty()) << ql::io::text_of(again.problems);
  EXPECT_TRUE(ql::differences(c.value, again.value).empty()) << printed;
  EXPECT_NE(printed.find("[last]  # the phase after all\nlength = 7\n"), std::string::npos) << printed;
}

// An index refers to a list of the file or, where the file has none, to the one that was there before.
TEST(Reflect, SetsAnEntryOfAListTheFileDoesNotName) {
  config before;
  ql::set(before, "phases[1].steps", "40");
  ASSERT_EQ(before.phases.size(), 2u);
  const auto empty = ql::io::toml::parse("lanes = 4\n", "r.toml");
  const auto c = ql::configure<config>(empty, {"phases[0].steps=7"}, before);
  EXPECT_TRUE(c.problems.empty()) << ql::io::text_of(c.problems);
  ASSERT_EQ(c.value.phases.size(), 2u);
  EXPECT_EQ(c.value.phases[0].steps, 7);
  EXPECT_EQ(c.value.phases[1].steps, 40);
  EXPECT_EQ(ql::configure<config>(empty, {"phases[3].steps=7"}, before).problems.size(), 1u);
}

TEST(Reflect, RulesOfThePartsSpeakInKeys) {
  const auto c = ql::configure<ruled_config>(ql::io::toml::parse("[parts.b]\nshare = 2.0\n", "r.toml"));
  ASSERT_EQ(c.problems.size(), 1u);
  EXPECT_EQ(c.problems[0].text(), "r.toml:2:1: parts.b.share: expected in [0, 1], got 2.0; use 0.5");
}

TEST(Tree, EditDistance) {
  EXPECT_EQ(ql::io::edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(ql::io::edit_distance("ab", "ba"), 1u);
  EXPECT_EQ(ql::io::edit_distance("", "abc"), 3u);
  EXPECT_EQ(ql::io::nearest("lerning_rate", {"loss", "learning_rate"}), "learning_rate");
  EXPECT_EQ(ql::io::nearest("zzz", {"loss", "lr"}), "");
  EXPECT_LE(ql::io::edit_distance(std::string(100'000, 'a'), std::string(100'000, 'b')), 100u);
}

TEST(Tree, FindsAndPuts) {
  auto t = parse(R"({"a": {"b": [1, {"c": 2}]}})");
  ASSERT_NE(ql::io::find(t, "a.b[1].c"), nullptr);
  EXPECT_EQ(ql::io::find(t, "a.b[1].c")->integer(), 2);
  EXPECT_EQ(ql::io::find(t, "a.b[2]"), nullptr);
  EXPECT_EQ(ql::io::find(t, "a.x.y"), nullptr);
  ql::io::put(t, "a.b[2]", 5);
  ql::io::put(t, "n.e.w", "x");
  EXPECT_EQ(ql::io::json::dump(t), R"({"a": {"b": [1, {"c": 2}, 5]}, "n": {"e": {"w": "x"}}})");
  std::string deep = "a";
  for (int i = 0; i < 40; ++i) deep += ".a";
  QL_EXPECT_MESSAGE(ql::io::put(t, deep, 1), ql::io::format_error, "more than 32 levels");
  for (const char* bad : {".", "a.", "a..b", "[0]", "a[", "a[-1]", "a[0].", "a[99999999999999999999]"})
    EXPECT_THROW(ql::io::put(t, bad, 1), ql::io::format_error) << bad;
}

}  // namespace
