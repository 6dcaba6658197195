<?php
// Is included by a function.

Notes\send();

function from_included(): void
{
    Notes\send();
}

from_included();
return 7;
