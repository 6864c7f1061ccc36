// A saved file is the old one or the new one, never a part.

#include "engine/graph/replace_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/train/support.h"

namespace tinytl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Writing more than this to one file fails, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    signal(SIGXFSZ, old_handler_);
  }

 private:
  sighandler_t old_handler_;
  rlimit old_{};
};

TEST(ReplaceFile, ReplacesAndLeavesNothingElse) {
  const TempFolder folder;
  replace_file(folder / "a", "old");
  replace_file(folder / "a", "new text");
  EXPECT_EQ(read_text(folder / "a"), "new text");
  replace_file(folder / "a", "");
  EXPECT_EQ(read_text(folder / "a"), "");
  EXPECT_THAT(folder.files(), ElementsAre("a"));
}

TEST(ReplaceFile, FullDiskLeavesTheOldFile) {
  const TempFolder folder;
  replace_file(folder / "a", "old");
  std::string error;
  {
    const FileSizeLimit limit(1000);
    error = error_of([&] { replace_file(folder / "a", std::string(5000, 'x')); });
  }
  EXPECT_THAT(error, HasSubstr("cannot be written"));
  EXPECT_EQ(read_text(folder / "a"), "old");
  EXPECT_THAT(folder.files(), ElementsAre("a"));
}

TEST(ReplaceFile, PlaceThatCannotBeWrittenIsNamed) {
  const TempFolder folder;
  EXPECT_THAT(error_of([&] { replace_file(folder / "no/such/place", "x"); }),
              HasSubstr("no/such/place: cannot be written: No such file or directory"));
  std::filesystem::create_directory(folder / "d");
  EXPECT_THAT(error_of([&] { replace_file(folder / "d", "x"); }), HasSubstr("directory"));
  EXPECT_THAT(folder.files(), ElementsAre("d"));
}

TEST(ReplaceFile, LinkStaysAndItsTargetIsReplaced) {
  const TempFolder folder;
  replace_file(folder / "real", "old");
  std::filesystem::create_symlink("real", folder / "link");
  replace_file(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_text(folder / "real"), "new");
}

// As root, `--report /dev/null` must not turn the device into a file.
TEST(ReplaceFile, DeviceOrPipeIsWrittenToNotReplaced) {
  const TempFolder folder;
  std::filesystem::create_symlink("/dev/full", folder / "full");
  EXPECT_THAT(error_of([&] { replace_file(folder / "full", "x"); }),
              HasSubstr("cannot be written"));
  EXPECT_TRUE(std::filesystem::is_character_file(folder / "full"));

  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  const int pipe = open((folder / "pipe").c_str(), O_RDWR | O_NONBLOCK);
  replace_file(folder / "pipe", "text");
  EXPECT_TRUE(std::filesystem::is_fifo(folder / "pipe"));
  char text[8] = {};
  EXPECT_EQ(read(pipe, text, sizeof text), 4);
  EXPECT_STREQ(text, "text");
  close(pipe);
}

}  // namespace
}  // namespace tinytl
