/* The smallest program that needs a C library. */
#include <stdio.h>

int main(void)
{
    return puts("hello") < 0;
}
