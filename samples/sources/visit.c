/* A program that uses libdoor, and does not know of libgreet. */
#include <stdio.h>

const char *open_door(void);

int main(void)
{
    return puts(open_door()) < 0;
}
