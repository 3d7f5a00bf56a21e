// The program only calls into its library; the entry hook comes from the program's link.

bool part_works();

int main() { return part_works() ? 0 : 1; }
