<?php

declare(strict_types=1);

namespace App\Http\Middleware;

use App\Http\Request;
use Closure;

/** Lets a request pass that carries the bearer token and a Standard Webhooks signature that is not old. */
final class VerifyTrunklineSignature
{
    /** Seconds that the sender's clock may differ. */
    private const TOLERANCE = 300;

    public function __construct(private string|false $bearer, private string|false $secret)
    {
    }

    /** @param Closure(Request): int $next */
    public function handle(Request $request, Closure $next): int
    {
        if (!$this->bearer || !$this->secret) {
            error_log('set WEBHOOK_SECRET_TOKEN and TRUNKLINE_SIGNING_SECRET');
            return 500;
        }
        $known = hash_equals("Bearer {$this->bearer}", $request->header('authorization'));
        return $known && $this->isSigned($request) ? $next($request) : 401;
    }

    private function isSigned(Request $request): bool
    {
        $id = $request->header('webhook-id');
        $timestamp = $request->header('webhook-timestamp');
        if (!ctype_digit($timestamp) || abs(time() - (int) $timestamp) > self::TOLERANCE) {
            return false;
        }
        $key = base64_decode(substr($this->secret, strlen('whsec_')), true);
        $mac = hash_hmac('sha256', "$id.$timestamp.{$request->content}", (string) $key, true);
        $expected = 'v1,' . base64_encode($mac);
        // While a secret is being replaced there are two signatures.
        foreach (explode(' ', $request->header('webhook-signature')) as $signature) {
            if (hash_equals($expected, $signature)) {
                return true;
            }
        }
        return false;
    }
}
