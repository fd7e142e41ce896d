/* A program that uses libgreet; with FORMAL only its newer release will do. */
#include <stdio.h>

const char *greet(void);
const char *greet_formally(void);

int main(void)
{
#ifdef FORMAL
    return puts(greet_formally()) < 0;
#else
    return puts(greet()) < 0;
#endif
}
