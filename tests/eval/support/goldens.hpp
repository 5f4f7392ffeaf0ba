// SPDX-License-Identifier: Apache-2.0
#pragma once

// Written by tests/golden/evaluation.py; do not edit.

#include <cstdint>
#include <string_view>
#include <vector>

// clang-format off
namespace ql::test::goldens {

struct metric_row { std::string_view prediction, gold; int exact, cover, mutual; double squad1, precision, recall, squad2, hotpotqa; };
inline constexpr metric_row metrics[] = {
  {"The Eiffel Tower.", "eiffel tower", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0},
  {"in the year 1984", "1984", 0, 1, 1, 0.5, 0.3333333333333333, 1.0, 0.5, 0.5},
  {"", "", 1, 0, 1, 0.0, 0.0, 0.0, 1.0, 0.0},
  {"the", "a", 1, 0, 1, 0.0, 0.0, 0.0, 1.0, 0.0},
  {"", "x", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"x", "", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"yes", "no", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"yes", "Yes.", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0},
  {"yes it is", "yes", 0, 1, 1, 0.5, 0.3333333333333333, 1.0, 0.5, 0.0},
  {"no answer", "noanswer", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"NoAnswer", "noanswer", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0},
  {"e", "Steve Jobs", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"U.S.A.", "USA", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0},
  {"don't", "dont", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0},
  {"a b a b", "a b", 0, 1, 1, 0.6666666666666666, 0.5, 1.0, 0.6666666666666666, 0.6666666666666666},
  {"O'Neill-Smith", "ONeillSmith", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0},
  {"caf\303\251 \303\211cole", "CAF\303\211 \303\251cole", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0},
  {"\302\253Paris\302\273", "Paris", 0, 1, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"the\302\240cat", "cat", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0},
  {"\344\270\255\345\233\275\345\214\227\344\272\254", "\345\214\227\344\272\254", 0, 1, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"an\011apple\012\012pie", "apple pie", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0},
  {"theatre", "the atre", 0, 1, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"\304\260stanbul", "istanbul", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"\316\237\316\224\316\237\316\243", "\316\277\316\264\316\277\317\202", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0},
  {"1,234.5", "12345", 1, 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0},
  {"na\303\257ve", "CAT paris, 1984 1984 \303\211t\303\251 CAT", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"", "the - no", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"CAT cat paris, CAT na\303\257ve a", "the the", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"the \342\200\231s \303\211t\303\251 of", "the Paris 1984 1984 Paris", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"\303\211t\303\251", "1984 paris, the - U.S. \303\211t\303\251", 0, 0, 1, 0.4, 1.0, 0.25, 0.4, 0.4},
  {"\303\211t\303\251", "- a yes cat cat", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"U.S. \342\200\231s Paris", "na\303\257ve \342\200\231s", 0, 0, 0, 0.4, 0.3333333333333333, 0.5, 0.4, 0.4},
  {"of no - 1984 cat no", "An U.S. cat \303\211t\303\251 yes", 0, 0, 0, 0.22222222222222224, 0.2, 0.25, 0.22222222222222224, 0.22222222222222224},
  {"\303\211t\303\251 a An", "no 1984 the the cat of", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"na\303\257ve \303\211t\303\251 An Paris", "", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"Paris \342\200\231s U.S. no yes -", "1984 paris,", 0, 0, 0, 0.28571428571428575, 0.2, 0.5, 0.28571428571428575, 0.28571428571428575},
  {"na\303\257ve cat no -", "U.S. An CAT Paris of", 0, 0, 0, 0.28571428571428575, 0.3333333333333333, 0.25, 0.28571428571428575, 0.28571428571428575},
  {"- na\303\257ve Paris", "no - no the", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"na\303\257ve na\303\257ve 1984 the", "\303\211t\303\251", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"na\303\257ve - CAT CAT", "\342\200\231s the of a - 1984", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"CAT Paris a na\303\257ve yes a", "paris,", 0, 1, 1, 0.4, 0.25, 1.0, 0.4, 0.4},
  {"\303\211t\303\251", "cat 1984 yes 1984 the", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"yes CAT paris,", "\342\200\231s U.S.", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"of", "- the the", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"the", "1984", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"\303\211t\303\251 U.S. Paris of", "cat 1984 U.S. the \303\211t\303\251 CAT", 0, 0, 0, 0.4444444444444445, 0.5, 0.4, 0.4444444444444445, 0.4444444444444445},
  {"\303\211t\303\251 the paris, of \342\200\231s", "a a", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"cat no", "An U.S.", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"the - of na\303\257ve An -", "cat U.S. no yes Paris \303\211t\303\251", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"na\303\257ve 1984 of", "paris, 1984 yes", 0, 0, 0, 0.3333333333333333, 0.3333333333333333, 0.3333333333333333, 0.3333333333333333, 0.3333333333333333},
  {"no paris, An - CAT na\303\257ve", "yes", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"paris,", "", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"no U.S. \342\200\231s - U.S. CAT", "Paris cat a An", 0, 0, 0, 0.28571428571428575, 0.2, 0.5, 0.28571428571428575, 0.28571428571428575},
  {"Paris CAT na\303\257ve -", "yes a", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"-", "CAT cat 1984 na\303\257ve", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"a the a - CAT -", "a na\303\257ve", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"a U.S. na\303\257ve", "yes paris,", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"\342\200\231s 1984 paris, CAT", "paris, na\303\257ve the no - CAT", 0, 0, 0, 0.5, 0.5, 0.5, 0.5, 0.5},
  {"Paris", "no a An Paris", 0, 0, 1, 0.6666666666666666, 1.0, 0.5, 0.6666666666666666, 0.6666666666666666},
  {"- no of CAT U.S.", "paris, paris, 1984 a \303\211t\303\251 the", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"", "of paris, na\303\257ve 1984 yes a", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"of of", "", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"Paris na\303\257ve", "- 1984 yes An", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"paris,", "yes", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"paris, of 1984 \303\211t\303\251 \303\211t\303\251 of", "of the An", 0, 1, 1, 0.2857142857142857, 0.16666666666666666, 1.0, 0.2857142857142857, 0.2857142857142857},
  {"- \342\200\231s paris, yes U.S. na\303\257ve", "a Paris CAT no", 0, 0, 0, 0.25, 0.2, 0.3333333333333333, 0.25, 0.25},
  {"U.S. a", "", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"", "the CAT yes 1984 -", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"", "CAT yes U.S. \303\211t\303\251", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"CAT", "-", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"paris, cat", "\342\200\231s paris, \342\200\231s An \342\200\231s the", 0, 0, 0, 0.3333333333333333, 0.5, 0.25, 0.3333333333333333, 0.3333333333333333},
  {"- na\303\257ve", "\342\200\231s - cat cat An", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"U.S. the -", "paris,", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"", "of CAT U.S. U.S. -", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"the - An", "the \303\211t\303\251 no", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"the cat na\303\257ve na\303\257ve", "paris,", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"paris, na\303\257ve An a 1984 An", "U.S. \303\211t\303\251", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"\342\200\231s \303\211t\303\251 Paris", "1984 1984", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"cat", "U.S. \342\200\231s", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"paris, \303\211t\303\251 the a U.S.", "An CAT", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"paris,", "paris, U.S. An cat 1984", 0, 0, 1, 0.4, 1.0, 0.25, 0.4, 0.4},
  {"", "a na\303\257ve U.S. no An no", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"cat CAT 1984 no", "yes U.S. An cat the", 0, 0, 0, 0.28571428571428575, 0.25, 0.3333333333333333, 0.28571428571428575, 0.28571428571428575},
  {"", "paris, a cat a of of", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"- \303\211t\303\251 cat 1984", "of", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"of \342\200\231s no", "1984 na\303\257ve", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"of a na\303\257ve", "\342\200\231s \303\211t\303\251 paris,", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"cat the Paris", "na\303\257ve the of", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"-", "An", 1, 0, 1, 0.0, 0.0, 0.0, 1.0, 0.0},
  {"U.S.", "paris, CAT", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"\303\211t\303\251 CAT CAT of U.S. 1984", "a Paris \342\200\231s Paris CAT \342\200\231s", 0, 0, 0, 0.1818181818181818, 0.16666666666666666, 0.2, 0.1818181818181818, 0.1818181818181818},
  {"", "", 1, 0, 1, 0.0, 0.0, 0.0, 1.0, 0.0},
  {"cat U.S. of CAT", "An U.S. na\303\257ve paris, U.S.", 0, 0, 0, 0.25, 0.25, 0.25, 0.25, 0.25},
  {"CAT yes", "", 0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"cat yes U.S.", "CAT \303\211t\303\251", 0, 0, 0, 0.4, 0.3333333333333333, 0.5, 0.4, 0.4},
  {"a \342\200\231s no", "the paris, na\303\257ve \342\200\231s", 0, 0, 0, 0.4, 0.5, 0.3333333333333333, 0.4, 0.4},
  {"cat Paris \342\200\231s na\303\257ve U.S. \342\200\231s", "of paris, An na\303\257ve U.S.", 0, 0, 0, 0.6, 0.5, 0.75, 0.6, 0.6},
  {"U.S. \303\211t\303\251", "no no - na\303\257ve", 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0},
  {"cat of a of Paris", "paris, the cat An CAT", 0, 0, 0, 0.5714285714285715, 0.5, 0.6666666666666666, 0.5714285714285715, 0.5714285714285715},
  {"CAT - CAT", "CAT the \342\200\231s CAT no \303\211t\303\251", 0, 0, 0, 0.5714285714285715, 1.0, 0.4, 0.5714285714285715, 0.5714285714285715},
};

struct judged_set { std::string_view name; int exact, cover; double f1; };
inline constexpr judged_set judged_sets[] = {
  {"evouna_nq", 265, 1264, 554.7581493962696},
  {"nq301_human", 188, 291, 285.20375970465204},
};

struct sequence_row { std::string_view a, b; double ratio; };
inline constexpr sequence_row sequences[] = {
  {"", "", 1.0},
  {"abcd", "bcde", 0.75},
  {"a", "", 0.0},
  {"qabxcd", "abycdf", 0.6666666666666666},
  {"private Thread currentThread;", "private volatile Thread currentThread;", 0.8656716417910447},
  {"\303\251t\303\251 caf\303\251", "\303\251t\303\251s caf\303\251s", 0.8888888888888888},
  {"abab", "baba", 0.75},
  {"tide", "diet", 0.25},
  {"diet", "tide", 0.5},
  {"bbaab", "bbaab", 1.0},
  {"tripp", "tripp", 1.0},
  {"KjAyS", "KjAyS", 1.0},
  {"bbbaaaaaaabbbaaaabbbabbbbbbabbabbababbba", "bbbaaaaaaabbbaaaabbbabbbbbababbaabbababbbba", 0.963855421686747},
  {"hfwcnwgfwksajercyasagveerkbzdaiptcialttx", "hfewcnvagfwksajerpkcyasagveermbzdaiprwialttx", 0.8571428571428571},
  {"Co4RbpSeeoXMwQrUjxjFfgbUgbPCHxQVnXAbK25K", "bsCo4NC3Rbp5eoXMwjt2fgbUgbPCHxQVnXAbK25K", 0.8},
  {"aaaabaabaabaaaabaababaaabbbaabaabbbbabbaabbbbbbbababbaaaabbaaabaabababbabbabaaaabababbbabbbababbabbaaaaabaababbabbababababbbabbbabbbababbabbbabbbaabba", "aaabaabaabaaaabaababaaabaaabaabbbaababbaabbbbbaaababbaaaabbaaaabababbababbaaaabbababaababbaababbabbbbaaaaaabaababbabbababababbabbbbbbaaabaabbaabbabaaabba", 0.759075907590759},
  {"yqpweblhiodqsyfbtmwoqcnrmkreklwlpdxneklsgrfalzivmwmbdasoboavingjaogmuqqiqkynurnvdyefiddihcchnmhkdocptfkbdagsotwfdirzdsxtcrwqzeivwnbxrahwqtyakgsptxldew", "yqpweblhiodqssknyfbxqmmwoqcnrmkreksaniyclpdekwwsgrfalzivmwpsasoboavogjymuqqiqkynurnyefiddihcchnmhnufqrdocptfkmjfdagsotwfzhjtcreivwnbxrahwqtyakgsptxlltww", 0.8013245033112583},
  {"D6wv5LgWw6NX3F7bvZaP9S1eHLBAXkcK7ZPs4cpW3y4gLeolazFrOdGGy4hACx8JGBB6XOkKhvbR8NJpBCAqnU7YMbs08HJQpSw0CPIHC7UAF3UO7hLMC77yMVRwXvjPOzE9Yz4JzOW3PPycCh6wLT", "VTO6zOwvbDCdgWw6NjDX4ltF7bvZaP9S1eHLBAXbkcK7ZPs4csZX4gLWGazFrOdGGy41Kx8JGBB6XOkKhvbR8NJpXNCAqnYMbs08HJQpSw0CPIBHC7UATUO7hLMfn7nVRwXvjPOzErbYz4JzOW3PPycCh6wLT", 0.8208469055374593},
  {"bbbbbbabbabaabbbbabbbaaabbabbabaabbbabbbaaaaaabbabbaabbabaabaabbabbabbbbabaaaaaaabbabaaabbbaaaaaaabbaabaaaaaaabbaaabbbababbbaaabbaabbabaabbbabbbbaababbbababbbabbbbbbbbaaaabababaaabbaaaababbaaaaababab", "bbbbbbabbabaabbbabbbaababbabaabbbbbabbbaababbaabbabaabbbbabbabbbbabaaaabbabaababbbaaaaaabbaabaaaaaaaabaaabbbaabbbaaabbaabbabaabbababbbbabbabababbbabbbbbbbaaabababbabaabbaaababbaaaaababab", 0.8571428571428571},
  {"accopqyttexxvcsnnguuuhtcraacqzmqpvzvibxhtwefkvwzhqwjpfwlmrivllsrswvkqwbrnkdhtwztwverwthskltrdqbfvxgtemjclowchafgvyfmnmyybknqnvclveeqdodeiuppqkzpqbgpysbvfpebumpspkinggvisrmuiawttxklpwhtygaeqfycxjxicrh", "accopvjkyttexxvcsnnguuuhtcniaaktcqzmqplwsribxhspvwzwzjwjpfwlmrrjdvlwlsrswdhqvkqwbrnkdhtwztwverwthskltrdaqxgblemgxmlowchaccxgvyfmnmyybpkkxivclveehideiifhppqkzpqbgpysbvfpebtumpspukgggksviguiawttxklpwhpzlsngaeqkqzxjxicrh", 0.052884615384615384},
  {"aHT4E2maIvyLU1uKNQKCYbWklPCvedqfRmxARYNniIwSnQwrlUFHZbHupZpzAitaFM97u7gjGQKczExVUfCRWP8TyZLLKURCWAT4Gj4nncAyYkxVbzjVsigmRhcocTVHucSpI9oQBHzRGcYovDKUhxMDpX7OHjDWtBBtMs5ZtebYAhcWm5wMvOiqhdI9a2rjbvfECk2", "aHT4uBVbi2maIyeU1uKNQYbWklPCvedqfS0pmxU8RZYNwSnQwrlUFHZbETupZpzAiK3FM97u7gjGQwEUKxVUfCRWnaTyZLLKURCWAT4jRWnnc60xVbsigmRhccTVHucSpxFIPNoQBHzRGOeYvr9vDKmDpX7OHjDWBtMs5ZtFSAhcWm5rPXSqhdI9a2rjbvfETN7Ck2", 0.7758186397984886},
  {"baaaabbabaabbabababbbabbababbbbabaabbaaaaabbbbbbabbbaabbabbabbaaaababbabaaabbbbabbaabbababababaaaaabbbabbbbbabbbabaabbbaaaaabbabbbabbbbaaaabbbbbbabbaaabaaabbabaabbbaabbabaabaabababaabbabaaaabaabaaaaba", "bbaaabbaabaabbabababbbabbababbabbabaabbaaaaabbbbbabbabbabbaaaabababbabbabbaabbbabababaaaaaababbbbbabbbabaaabbaaaabbbabbabbbaaabbbaaaabbbbbabbaaaaabaababababaabbaabbbbbabababbabaaaabaabaaaaba", 0.8358974358974359},
  {"toiqjmpuezwexgwfwwortqiuxnwjlriuufkwnavemxttagczfesusnxpavazpqgwjobrvpvoovekutxsrqfuvgjltbdytkeadxcweufsungmgzloilxxvyzahcvduffixgeugpmsmfdvfgpyjiilxpoiiluxvfyhimcnydzkgociththtsolfcnivcciotqgcrduqxll", "toipnuezwexgwfwrtqhuxnwjlufkwqspqbvexhmmxtdmagczfesuxpavjsiqgwjobrvpvoovekutxsrqfkzxjlrtbdytkeadxcweufsungfygzloilxxvyzaokvuvlxfixgeugpmsbbdargpyjiilxpoiiluxhgcfybyqamfmqdgocikhaztsolfcivcciotqgcrduqxll", 0.029850746268656716},
  {"VcUMp2rRjjhCUiTaK0mRHjtuwfZ9TQigu46sw20VwXEOyYMfKYxmeplTYKhwIK3Y3ivmQaYzReYXrz0Svv1zCeuNdO5kwfegjX8chFIz4FyHBL9eHozboK8IQTtOilWlpNWbMkhharuq4GqQanQAQgedBBphPDS1BmSV68wanzJBZbeQ0twl4DUKNk3R9QaOU11pd3Ws", "Vcg2kuDjjhCUiTaK0mRHjtuw9Z9TQigu46sv0VwXEOyYMfKYxmeplTYK7LIAYvmYzReYXrz0Svv4euNdtwKYeegjX1ZFCyhXQHFyHBL9eHoK8IQTtACOilWlpNWbMkhharuq4GdPqQanQCAQgBR6hPO1f07mSV68wanzJBZb110twl4DUKNk3R9Q5DOU11pdQT3", 0.789873417721519},
  {"baaabaaaabaaaaabbbbababbbaabaabbaabbbaaabaaaabaabaaaaabaabbbbbaaaababbaaaababbbabababbaabbbabbabbbaaababababbabbaabaabaabbbbaabbaabaabaabaabbabbbaaaababaaaababaaaaabbbbbbaaaaabbaaaaababbbaabbaaaababaabbbbaaabbbbaabaabbaaabaaabababbbabbbbbbbbabababbaababaabbaaa", "baaabaabaaaabaababbbbabbaabbaabbbaaabaaaabaababaaaababaaaabbbaaaababbbabbabbaabbbabbbbabbbaaababababbabbaabaaabbbbabaabaabbababaabaaaabbabbbaaabbaababaabbababbaaaabbbbbbaaababbaaaababbbaaababaabbbbbaaaabbbbaabaabaabaaabababbbabbbbbbaabababbabbabaabbaaa", 0.02734375},
  {"kswdiklkjvxdglusmxzpxmuztqmhdeqhuacyvmuxshsurogndkpktuwtkojdyntcnktbldkmmaauglouoztjirqmqgyvvhdmuyjgbgcfeykbgvhjwqjthyajztcdcdziseagjkmedcwfrhymdxqnjyzhswftdtcupnxowdimjduxfumouzsqqhudlgczwhsbhvmqhgqlptfjvbublyznftdxpcmqfovztvxrzomkmzucqckdbztgcgzcadkzegxxrpny", "wdpuuklkjvxdgluslxaijmztqmxohdeqhuacyvmusuokxurogndkpktuwtkojdynnktbldkdekmabraouoztjisbwygyvvhdmuypgbgcfeykbgvhjwqjthajztcdcdziseausdkmedcwfrymdxedjszugzhswfcuocfowdimduktgumouqqhknqudlgczwhsbhvmqhgqmyxhblyinftsxpfovztvxrzomkmzucqckdbztgcgzczdeezehyrpny", 0.0},
  {"RH2bFFepkJ09hl2SE2wRmGnsfoqK3GERDI6l7vRQs2TXLBN9CTGP6CDR9AEVXbsduD0N5ptMiXYG91fN4FKTDBG1vmiv8DsB2wICVfZvvZ0HxdWirTpUVgBEcapTms9ovYoD4scuJL238uv2hNqk5AtLI3Rx0XybWJkZ4I4O0sqEOOZbzjgG8OgLF1VbruHAeSvRHhIPWX5gCKtreL8NQS8yBlrwFAZwxtXS36Ue5CeVy82DYpLcUhZsbmiBGqv4p92O", "RbdhuJ2pkshNi2Sc7SDOShymGnsfoqhBDDl7vRQ4MLBNFTgmQ0rDREVXbsdN5ptMiXF1fN4FKTDBG1vmiv8DsB2wICVfZvvZ0HxarTQVgBEcapTmTx3XrEHJcxJL2382JA2hNqk5AtLRx0XybWJkZ4I4O0sqEOOZbzjgG8OgF1VbruveSvRHhIPgCKtreL8NQS8yrwFAZwxt6Ue5CeVy82DF2LcUhZbmiBGNf84p92O", 0.6303030303030303},
  {"aabbababaabbbbaababababbbabbaababababbabbbaabbaaabbabbbbbaaaababababbbbababbbabbaaabbaaaabaabaaabaaaaabbbabaabbbbaabbbabbbbbbaaaaaabababaabaabaabbabaaabaababbbaaaaaabbaabaabbbbaaabbbabbbababbabbaaabbaaabaaabbaabababbaaabababbabbaabbbaaababbbbaabbbabbabbabbbabaabbaaabbabbaabbaababaabbbbaabaaaaaaabaabbababbbaaaabbbaababaaaabaabaaabaabaaabbbaabaabbaabaaabbababaabbabbaabbabaaababaabbbbbaabbbbbaabaaaaabbbbaabaaaabaabbbbabaaaaabbabaabbaaabbbbbaaabababaabbabbaabbbbbabaabbbabababbaabaabaaabbbbaaabaaabab", "aabbbbabaabbbbaababababbbbbaaaababababbabbbaabbabbabbbbbaaaabababbbbbababbbabbaaaaaaabaabaaabbaaababbababaabbbbbbaabbbbaaaaaabababaabbbaaabbabaaabaabbbbbaababbaabaabbbbbabbabbbabbbababbabbaabbabbbaabaaabbaaaaabbaaabaabbaabbbaaababbbbaabaaaabbabbbabaabbaaaaaabbbaaaaababaabbbbaabaaaaaaaaabbaaabbabababbbaaaaabbbaababaaaabaabaaababbbbaaabbbaabaabbaaaaaabbabbaabbabbabaabbabaaaababbbabaababaaaaabbbbaabaababbbbaabababaaababbabaabbaaabbaabbbaaabaababaabbabbaabbbbbabaabbbbabaabbababaaabbaabaaabbbbaaabaaaa", 0.007992007992007992},
  {"yhbufytvotpexrpbiruqwyuolexjhdgomsramvwyhmsmfbwgviqhjpjjplbwyprwbaagneehpzjziyvgjingtocspqtlrsudvefiowyzndueeeykstbvcglryiswurpwvbgwsnbqwtlqfflrxpjpqlxuwbafykvlebyjmehlepgukwkwwpwjgbgnsvvdolbhsiujjdlobljmmabnqpnpggxszgphlgeqqygsegyelsjruueqfwolsqbeqztqnmnzuqhaewfyqtmkbaaeumknrjnyrkiicdhtgjhflxgvyoxxqmmquacfwqmbadqweaeofummsaybuglfnmogfiltevyhmzvslpgtxrncimsqwiyhsuozmffkgjswnqhupilmbzkpchjvaisbtstsqxzgfutuxtvlcogrrjclzduypeucrvqqjtsgqhmdsapjcvbhwytnumqfwxapdbesfuxjaezmbkrygsxdhflqvhxesqcgyjvxbsse", "yhbufytvotpexrpbiruwyuolyhaygomsramvkuwyhmsmlwgviqhjpjjplbwyprwbagneehpzjziyvgjingtbicspqtlrsudvefiozthneeeyksbvsryiswurpwvbgwsnbqqjjlqffpjgoluibafykvlebyvakylepgukwkwwpwjgbgnsvvyordzbhsiujjdlobkaqhcmabnqpnpggxszgphlgeqqyglqpglsjruuewqwocqqztqnmnuqhaewfyqtmtdarumknrjnyrkiicdhtgjhfleqkgvyoxxycmqzbacfwqmbqpaeofummsfgbaybuzpnglfnvppgfiltgjmzveoylpgtrnimsilrqwphfzmffkgjjswnqhupilmbzkpchjsxtsquzngnofutuxtvlgorqorrjgozduypeuoklvqqjtsgqhcvbhwumqfwxapdfuxjkkaezmbkrdygshfzcqyxesqjjvxbsse", 0.038657171922685654},
  {"NpN1mp5G8ER2JbY19eKk0QygdIHdfppGDMjx5YoMAlxLLdmOlGsrKQ4OxlNKE5tLXdF1EobWwCqAa4mSgrDDcwrNrATS8kfU5dwDW5EZmlOHWUxJPt5ByIdLwCljAsq9LLCbpbKlAvn3cEGaKs3D3Y9hwgGEBWLwBZQy6bCfZJ4U5mPJm85ZId7CxQpJGvJ8kAvy3yEzZJjyE85T51bAAtOyEGoHLpby6tj2Z1nBUmY2cUW5E4ACoFPLWd1FqQwtuMBZXlsJSh6mdHkG0AwE3WxsJbYjNiTFLENMmD4VJ9HFBinHcdgMNfwTz5eTSmePn8hq1ZYRyuBRcImWN6dctcELAZKEcK5a0SMQrNl4NacnvxxeMyjj1sjiZwt5GAUvhfa1heRbHpQfgglZ5nuKGNZ4FvZaGhN8cozmJ5kR8gJEIHcor7mlZ5xLj5hRbevs7zmX4opswJTt1OqWXtTY8q8wtjvXe4Rp0f4Zh90Kcpy5gHWX1Mtp", "NpN1mp5G8ER2JbY19LQygdIHdfppGDMjx5YoMAlxLLdmOlGsrKQ4OxlNu5dF1EPqbWwCqAa4pcUmSgruicwrNrATkfU5dwDW5EZmlOHWUxJPt5Bye9HdLwCljAsq9LampbKlaF3cEGaEVCD3Y9hwgKHwBZQy7gfZJ4U5mPJkT6m85ZId7CxQpJGKbUvxAeF3yEzZJjqu5T5J1bAAtnhGoHLpby6tq2AZ1nBY2cUW5E4K6CoFPkgWd1FqQwtuM8Q3QlsJSh6jG0ANTyg6EtxsJbYjNXiLENKBWILinHcdB5eTST8hq1yuBRcImWN63uicELAZKEcK58y0SMQuDz4NVvxxeMyjj2jiZwt5GAUvhfa1heRbHpQfgglZ5nuKGFvZaGh8cozmJ5kR8gJLfVVAHcoraXQ7mlZ5xheRNued1vsH2wzmX4qopswJTt1EywXtTY8q8wYEtjvXe4mhfDsW900QPRcpy5gHHLxURHX1Mtp", 0.1856710393541877},
};

struct pass_row { int n, c, k; double value; };
inline constexpr pass_row pass_at_k[] = {
  {16, 4, 2, 0.44999999999999996},
  {16, 0, 1, 0.0},
  {16, 16, 16, 1.0},
  {16, 1, 16, 1.0},
  {16, 1, 1, 0.0625},
  {8, 3, 4, 0.9285714285714286},
  {200, 7, 100, 0.9929911172418123},
  {1000, 10, 50, 0.4026887070933456},
  {5, 2, 4, 1.0},
};

struct bootstrap_row { std::vector<double> first, second; std::vector<std::uint32_t> cluster; std::uint64_t seed; double mean[3], difference[4]; };
inline const bootstrap_row bootstraps[] = {
  {{0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0}, {1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39}, 1u, {0.45, 0.3, 0.6}, {0.15, -0.025, 0.325, 0.0959040959040959}},
  {{0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0}, {1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0}, {0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 7, 7, 7, 8, 8, 8, 8, 8, 9, 9, 9, 10, 10, 10, 11, 12, 12, 12, 12, 12, 12, 13, 13, 13, 13, 13, 14, 14}, 7u, {0.55, 0.32786885245901637, 0.7667307692307692}, {0.1, -0.017857142857142856, 0.22062908496732023, 0.14185814185814186}},
  {{0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0}, {1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0}, {0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 8, 8, 8, 9, 9}, 1099511627776u, {0.3870967741935484, 0.23684210526315788, 0.64}, {0.06451612903225806, -0.11119047619047617, 0.3103448275862069, 0.7332667332667333}},
};

inline const std::vector<double> scipy_values{0.943, 0.511, 0.976, 0.081, 0.607, 0.376, 0.802, 0.175, 0.872, 0.544, 0.902, 0.477, 0.43, 0.789, 0.984, 0.37, 0.969, 0.929, 0.178, 0.609, 0.705, 0.943, 0.666, 0.133, 0.498, 0.494, 0.5, 0.959, 0.35, 0.224, 0.522, 0.641, 0.939, 0.582, 0.268, 0.93, 0.492, 0.676, 0.476, 0.217, 0.693, 0.771, 0.191, 0.46, 0.362, 0.171, 0.221, 0.963, 0.884, 0.382, 0.739, 0.042, 0.915, 0.537, 0.82, 0.276, 0.376, 0.348, 0.972, 0.429, 0.5, 0.956, 0.903, 0.395, 0.307, 0.807, 0.107, 0.392, 0.876, 0.918, 0.233, 0.079, 0.788, 0.622, 0.238, 0.506, 0.071, 0.7, 0.527, 0.705, 0.088, 0.645, 0.37, 0.499, 0.335, 0.634, 0.568, 0.617, 0.063, 0.225, 0.072, 0.383, 0.481, 0.112, 0.668, 0.487, 0.5, 0.597, 0.935, 0.589, 0.093, 0.146, 0.694, 0.323, 0.755, 0.511, 0.38, 0.739, 0.183, 0.285, 0.292, 0.415, 0.907, 0.813, 0.822, 0.631, 0.008, 0.286, 0.502, 0.898};
inline constexpr double scipy_interval[] = {0.5289333333333334, 0.4798664583333333, 0.578175};

struct sign_flip_row { std::vector<double> differences; double p; };
inline const sign_flip_row sign_flips[] = {
  {{1.35, 2.08}, 0.5},
  {{-2.25, 0.16, 1.31, 1.65, 0.95}, 0.5625},
  {{1.8, 0.59, 0.85, 0.48, -0.77, -0.55, 0.68, -0.28, 1.57}, 0.14453125},
  {{1.59, 2.1, 0.27, 1.68, -0.61, -0.52, 0.38, 0.58, -1.3, -1.43, 0.66, -0.56}, 0.48486328125},
  {{1.51, 0.69, 0.61, 0.51, 1.2, 0.15, 1.39, -0.23, 0.08, -0.38, 0.9, 0.34, -0.56, 2.3, -0.06}, 0.0135498046875},
};

struct mcnemar_row { int first, second; double p; };
inline constexpr mcnemar_row mcnemar[] = {
  {2, 9, 0.0654296875},
  {9, 2, 0.0654296875},
  {0, 0, 1.0},
  {5, 5, 1.0},
  {0, 1, 1.0},
  {0, 10, 0.001953125},
  {3, 20, 0.00048828125},
  {40, 70, 0.005447429511444476},
  {400, 480, 0.007707305043339153},
  {1200, 1000, 2.1817026407914194e-05},
  {30, 2500, 0.0},
};

struct wilson_row { int successes, n; double confidence, low, high; };
inline constexpr wilson_row wilson[] = {
  {8, 10, 0.95, 0.49016247153664183, 0.9433178485456247},
  {0, 10, 0.95, 0.0, 0.2775327998628892},
  {10, 10, 0.95, 0.7224672001371107, 0.9999999999999999},
  {1, 200, 0.95, 0.0008831687156009814, 0.02777370439789293},
  {131, 200, 0.95, 0.5867558925905368, 0.7174020562325106},
  {131, 200, 0.99, 0.56469626013469, 0.7353498647931437},
  {3, 7, 0.5, 0.3106034777497514, 0.5552572159915451},
  {700, 824, 0.9, 0.8278844616511372, 0.868856965282313},
};

struct quantile_row { double p, z; };
inline constexpr quantile_row quantiles[] = {
  {1e-300, -37.0470962993612},
  {1e-20, -9.262340089798409},
  {1e-10, -6.361340902404056},
  {1e-06, -4.753424308822899},
  {0.001, -3.090232306167813},
  {0.025, -1.9599639845400545},
  {0.07, -1.4757910281791706},
  {0.075, -1.4395314709384563},
  {0.3, -0.5244005127080409},
  {0.5, 0.0},
  {0.6, 0.2533471031357997},
  {0.925, 1.4395314709384563},
  {0.95, 1.6448536269514722},
  {0.975, 1.959963984540054},
  {0.995, 2.5758293035489004},
  {0.9999999, 5.199337582290661},
};

inline const std::vector<double> holm_p{0.01, 0.04, 0.03, 0.005, 0.8, 0.04, 0.6};
inline const std::vector<double> holm_adjusted{0.06, 0.16, 0.15, 0.035, 1.0, 0.16, 1.0};

// Of judge/released_rule_scores.jsonl.gz: 0, 1, e (the released code raised), - (no such task)
inline constexpr std::string_view released =
    "01-0---1--0-00--0-0--00-1-0-000-101010-000010000001-100001-00-00001000-000-10-0---10-1--0-0-01-0--00"
    "0-0--011000-00-0-00--10-1000-10-1010000000-10-0--10010-001-0-10010111-010111-0111000--010000---01--0"
    "-0-0-01-00000----0000100010--0010100-0-1000010---0010101011-1100-100-010--01110-000-000-001-11-00010"
    "-0-0-0100000000000-0011--011000000--0--001-0-00---100-00--1011-0-10000-0-00-00-0111010-000-0-0010-00"
    "0011000--101000--0---10-0001101100-11000111010000-000000000-0001-00--10000--00-001010010-000001000-0"
    "010---0---000100000100110-0--00010110--0-1001-010-0000000100-0011-00000-1000--00001-----10-011---100"
    "0100-10010-0-000000-0100110-00010--0000-0110-00-00010-0100100000001010000000-1000-1-10-0-00011-011--"
    "1-00-010-00100--0010001011001-00-001101-0-00-00101010-01-1-0--1-11000-0--0010-00111011001001-0100010"
    "00100-0-10001-00000000000111011--10-110-010--010000-111001110110000110010-000-00--10-0-0000010001-0-";

}  // namespace ql::test::goldens
// clang-format on
