// The progress of a run: a line that rewrites itself on a terminal, plain lines elsewhere.

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cli/support.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// All that the command writes to a terminal.
std::string output_on_terminal(const Words& command, const std::filesystem::path& folder) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return "";
  const std::string name = ptsname(master);
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    const int terminal = open(name.c_str(), O_RDWR | O_NOCTTY);
    dup2(terminal, STDOUT_FILENO);
    dup2(terminal, STDERR_FILENO);
    close(terminal);
    close(master);
    if (chdir(folder.c_str()) == 0) execv(words[0], words.data());
    _exit(127);
  }
  const int keep_open = open(name.c_str(), O_RDWR | O_NOCTTY);  // until the child has it
  std::string text;
  char buffer[4096];
  int status = 0;
  fcntl(master, F_SETFL, O_NONBLOCK);
  for (bool running = true; running;) {
    running = waitpid(child, &status, WNOHANG) == 0;
    ssize_t bytes = 0;
    while ((bytes = read(master, buffer, sizeof buffer)) > 0) {
      text.append(buffer, static_cast<size_t>(bytes));
    }
    usleep(1000);
  }
  close(keep_open);
  close(master);
  EXPECT_EQ(status, 0) << text;
  return text;
}

class Terminal : public CliTest {};

TEST_F(Terminal, ShowsABarThatRewritesItself) {
  const std::string text = output_on_terminal(train_command(), folder.path());
  if (text.empty()) GTEST_SKIP() << "this machine gives no pseudo-terminal";
  EXPECT_THAT(text, AllOf(HasSubstr("\r  epoch 1/2 ["), HasSubstr("images/s"), HasSubstr("ETA"),
                          HasSubstr("top-1"), HasSubstr("loss")));
}

TEST_F(Terminal, ElsewhereThereAreOnlyPlainLines) {
  const Output output = train();
  EXPECT_EQ(output.exit_code, 0);
  EXPECT_EQ(output.err, "");
  EXPECT_THAT(output.out,
              AllOf(Not(HasSubstr("\r")), Not(HasSubstr("\x1b")), HasSubstr("epoch 1/2"),
                    HasSubstr("epoch 2/2"), HasSubstr("training memory")));
}

}  // namespace
}  // namespace tinytl
