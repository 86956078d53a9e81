/* fmt.c - a brace and a pointer where ours do not stand. */
int main(int argc,char** argv) {
  return argc-!argv;
}
